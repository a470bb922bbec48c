//! The account, fed with scripted events under a virtual clock.

use super::*;

const LIMIT: Duration = Duration::from_millis(100);

fn ms(n: u64) -> At {
    Duration::from_millis(n)
}

fn with_sent(n: u64) -> Account {
    let mut account = Account::new(LIMIT, 1000);
    for i in 0..n {
        assert_eq!(account.sent(ms(i), 64), i);
    }
    account
}

fn replies(account: &mut Account, at: At, numbers: &[u64]) {
    for &number in numbers {
        account.reply(number, at, Condition::Intact, Company::Alone);
    }
}

#[test]
fn every_message_is_received_late_or_lost() {
    let mut account = with_sent(5);
    assert_eq!(account.open(), 5);
    assert_eq!(
        account.reply(0, ms(7), Condition::Intact, Company::Alone),
        Outcome::Answered(ms(7))
    );
    account.expire(ms(102));
    // Message 1 was sent at 1 ms, 2 at 2 ms: the first has passed the limit, the second has not.
    assert_eq!(account.state(1), Some(MessageState::Lost));
    assert_eq!(account.state(2), Some(MessageState::InFlight));
    assert_eq!(account.next_expiry(), Some(ms(102)));
    assert_eq!(account.reply(1, ms(102), Condition::Intact, Company::Alone), Outcome::Late);
    // Late is late, whether or not somebody looked at the clock in between.
    assert_eq!(account.reply(2, ms(103), Condition::Intact, Company::Alone), Outcome::Late);
    account.expire(ms(1000));
    let want = Counts { sent: 5, received: 1, late: 2, lost: 2, whole: 3, ..Counts::default() };
    assert_eq!(account.counts(), want);
    assert_eq!((account.open(), account.next_expiry()), (0, None));
}

#[test]
fn reordering_is_that_of_rfc_4737() {
    // The RFC's own example (section 3.4): 1 2 3 4 7 5 6 8: five and six are reordered.
    let mut account = with_sent(9);
    replies(&mut account, ms(9), &[1, 2, 3, 4, 7, 5, 6, 8]);
    assert_eq!(account.counts().reordered, 2);
    // One message that overtakes many counts as many; a gap is a loss and no reordering.
    let mut account = with_sent(9);
    replies(&mut account, ms(9), &[8, 0, 3]);
    assert_eq!(account.counts().reordered, 2);
}

#[test]
fn only_the_first_intact_copy_counts_for_order_and_round_trips() {
    let mut account = with_sent(4);
    replies(&mut account, ms(10), &[2, 2, 0]);
    assert_eq!(
        account.reply(1, ms(10), Condition::Changed, Company::Alone),
        Outcome::Answered(ms(9))
    );
    assert_eq!(account.reply(1, ms(10), Condition::Changed, Company::Alone), Outcome::Duplicate);
    let counts = account.counts();
    assert_eq!((counts.received, counts.duplicated), (3, 2));
    assert_eq!((counts.reordered, counts.corrupted), (1, 2));
    assert_eq!(account.round_trips().count(), 2);
}

#[test]
fn replies_to_nothing_are_counted_apart() {
    let mut account = with_sent(1);
    assert_eq!(account.reply(7, ms(1), Condition::Intact, Company::Alone), Outcome::Unmatched);
    assert_eq!(account.unmatched(Condition::Changed), Outcome::Unmatched);
    let counts = account.counts();
    assert_eq!((counts.unmatched, counts.corrupted, counts.lost), (2, 1, 1));
}

#[test]
fn memory_is_bounded_by_slots_that_hold_no_open_message() {
    let mut account = Account::new(LIMIT, 3);
    for _ in 0..3 {
        account.sent(ms(0), 64);
    }
    assert!(!account.has_room());
    replies(&mut account, ms(1), &[1, 2]);
    account.expire(ms(1));
    assert!(!account.has_room(), "message 0 is still open");
    replies(&mut account, ms(1), &[0]);
    account.expire(ms(1));
    assert!(account.has_room());
    for _ in 0..3 {
        account.sent(ms(2), 64);
    }
    assert_eq!(account.state(2), None);
    assert_eq!(account.reply(2, ms(3), Condition::Intact, Company::Alone), Outcome::Unmatched);
    assert_eq!(account.open_messages().collect::<Vec<_>>(), [3, 4, 5]);
}
