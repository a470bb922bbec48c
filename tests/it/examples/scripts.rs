//! What surrounds each example, and what it must have done.

/// Lines of a page or a help that belong together.
pub(super) struct Example {
    pub(super) name: &'static str,
    /// As they stand there; a script has them as `$line1`, `$line2`, ...
    pub(super) lines: &'static [&'static str],
    /// Programs that they need besides pktcat.
    pub(super) needs: &'static [&'static str],
    /// Runs them by sh, on the machine of `MACHINE`, and fails when the result is wrong.
    pub(super) script: &'static str,
}

pub(super) const fn example(
    name: &'static str,
    lines: &'static [&'static str],
    script: &'static str,
) -> Example {
    Example { name, lines, needs: &[], script }
}

/// A listener, then a connection to it that sends `file`, of which all has to arrive in a file.
const FILE_ARRIVES: &str = r#"
background "$line1"
ready_listener
eval "$line2"
wait $last
cmp file copy
"#;

pub(super) const EXAMPLES: &[Example] = &[
    example(
        "a_stream",
        &["pktcat listen 9000 > copy", "pktcat connect localhost 9000 < file"],
        FILE_ARRIVES,
    ),
    example(
        "a_hexadecimal_dump_of_a_datagram",
        &["echo hello | pktcat connect -u -x localhost 9000"],
        r#"
background 'pktcat listen -u --count 1 9000 > copy'
ready_udp 9000
eval "$line1" 2> dump
wait $last
echo hello | cmp - copy
grep -q '|hello.|' dump
"#,
    ),
    example(
        "a_file_between_machines",
        &[
            "there$ pktcat listen 9000 > photo.jpg",
            "here$ pktcat connect there.example 9000 < photo.jpg",
        ],
        r#"
background "$line1" there
ready_listener
eval "$line2"
wait $last
cmp photo.jpg there/photo.jpg
"#,
    ),
    example(
        "a_folder",
        &[
            "there$ pktcat listen 9000 | tar x",
            "here$ tar c photos | pktcat connect there.example 9000",
        ],
        r#"
background_pipe "$line1" there
ready_listener
eval "$line2"
wait $last
cmp photos/one.jpg there/photos/one.jpg
"#,
    ),
    example(
        "a_request_by_hand",
        &[r"printf 'GET / HTTP/1.0\r\n\r\n' | pktcat connect --no-shutdown web.example 80"],
        r#"
background 'python3 -m http.server 80 --bind 127.0.0.1 > /dev/null 2>&1'
ready 80
eval "$line1" > answer
grep -q '^HTTP/1.0 200' answer
grep -q photo.jpg answer
"#,
    ),
    example(
        "a_request_by_hand_in_the_help",
        &[r"printf 'GET / HTTP/1.0\r\n\r\n' | pktcat connect --no-shutdown localhost 8080"],
        r#"
background 'python3 -m http.server 8080 --bind 127.0.0.1 > /dev/null 2>&1'
ready 8080
eval "$line1" > answer
grep -q '^HTTP/1.0 200' answer
"#,
    ),
    example(
        "open_ports",
        &["pktcat scan localhost 22,80,2222,8000-8100", "pktcat scan localhost 22,80,8000-8100"],
        r#"
background 'pktcat listen -k --discard 127.0.0.1 8080'
ready 8080
for line in "$line1" "$line2"; do
    status=0
    eval "$line" > ports || status=$?
    [ $status = 4 ]
    grep -q '^8080/tcp open' ports
    [ "$(wc -l < ports)" = 1 ]
done
"#,
    ),
    example(
        "ping",
        &[
            "pktcat ping web.example 80",
            "pktcat ping -u --count 10 --plot dns.example 53",
            "pktcat ping --until-open --quiet db.example 5432 && echo up",
        ],
        r#"
background 'pktcat listen -k --discard 127.0.0.1 80'; ready 80
[ "$(timeout --preserve-status -s INT 2 $line1 | grep -c ' open ')" -ge 2 ]; background 'pktcat listen -u --echo 127.0.0.1 53'; ready_udp 53
[ "$(eval "$line2" | grep -c ' answered ')" = 10 ]
background 'sh -c "sleep 0.5; exec pktcat listen -k --discard 127.0.0.1 5432"'
[ "$(eval "$line3")" = up ]
"#,
    ),
    example(
        "is_it_up",
        &[
            "pktcat scan --quiet db.example 5432 && echo up",
            "pktcat scan --quiet localhost 5432 && echo up",
            "pktcat scan --quiet --any localhost 8000-8100",
            "pktcat scan --quiet --wait 1m localhost 5432,6379 && echo all up",
        ],
        r#"
if eval "$line3"; then exit 1; fi
background 'sh -c "sleep 0.5; exec pktcat listen -k --discard 127.0.0.1 6379"'
background 'pktcat listen -k --discard 127.0.0.1 5432'; ready 5432
[ "$(eval "$line1" | tail -n 1)" = up ]
[ "$(eval "$line2" | tail -n 1)" = up ]
background 'pktcat listen -k --discard 127.0.0.1 8099'; ready 8099
eval "$line3"
[ "$(eval "$line4")" = 'all up' ]
"#,
    ),
    example(
        "a_query_of_names",
        &[
            "pktcat connect -u --count 1 -q 3 -O hex dns.example 53 --send-hex '1234 0100 0001 0000 0000 0000 07 6578616d706c65 03 636f6d 00 0001 0001'",
        ],
        r#"
background 'python3 -c "
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((\"127.0.0.1\", 53))
query, peer = server.recvfrom(512)
assert query[12:] == b\"\\7example\\3com\\0\\0\\1\\0\\1\"
server.sendto(query[:2] + b\"\\x81\\x80\", peer)"'
ready_udp 53
[ "$(eval "$line1")" = 12348180 ]
"#,
    ),
    Example {
        needs: &["logger"],
        ..example(
            "a_syslog_listener",
            &[
                "pktcat listen -u -d -v -O lines 5514",
                "logger --server 127.0.0.1 --port 5514 --udp 'disk is nearly full'",
            ],
            r#"
background "$line1 > log 2> said"
ready_udp 5514
eval "$line2"
until grep -q 'disk is nearly full' log; do sleep 0.02; done
grep -q '^peer 127.0.0.1:' said
"#,
        )
    },
    example(
        "the_roles_of_a_text",
        &[
            "pktcat listen --send 'Hello, Client!' 127.0.0.1 1234",
            "pktcat connect --send 'Hello, Server!' 127.0.0.1 1234",
        ],
        r#"
background "$line1 > heard"
ready_listener
[ "$(eval "$line2")" = 'Hello, Client!' ]
wait $last
[ "$(cat heard)" = 'Hello, Server!' ]
"#,
    ),
    example(
        "the_roles_of_a_text_with_datagrams",
        &[
            "pktcat listen -u -q 1 --send 'Hello, Client!' 127.0.0.1 1234",
            "pktcat connect -u --count 1 --send 'Hello, Server!' 127.0.0.1 1234",
        ],
        r#"
background "$line1 > heard"
ready_udp 1234
[ "$(eval "$line2")" = 'Hello, Client!' ]
wait $last
[ "$(cat heard)" = 'Hello, Server!' ]
"#,
    ),
    example(
        "a_reply_to_everybody",
        &["pktcat listen -k -v --reply 'Hello, Client!' 127.0.0.1 1234"],
        r#"
background "$line1 2> said"
ready 1234
for _ in 1 2 3; do [ "$(pktcat connect --send x 127.0.0.1 1234)" = 'Hello, Client!' ]; done
"#,
    ),
    example(
        "many_clients_in_one_file",
        &["pktcat listen -k 9000 > log"],
        r#"
background "$line1"
ready 9000
pktcat connect --send one localhost 9000
pktcat connect --send two localhost 9000
until [ "$(wc -c < log)" = 6 ]; do sleep 0.02; done
"#,
    ),
    example(
        "many_clients_line_by_line",
        &["pktcat listen -k -O lines --tag 9000"],
        r#"
background "$line1 > log"
ready 9000
pktcat connect --send 'one
' localhost 9000
until grep -q '127.0.0.1.*one' log; do sleep 0.02; done
"#,
    ),
    example(
        "a_chat",
        &["pktcat listen --chat 9000"],
        r#"
background "$line1 > said"
ready 9000
background 'pktcat connect -d localhost 9000 > heard'
until pktcat connect --send 'hello
' localhost 9000 && grep -q hello heard; do sleep 0.02; done
"#,
    ),
    example(
        "an_echo_service_of_both_protocols",
        &["pktcat listen -t -u -k --echo 9000"],
        r#"
background "$line1"
ready 9000
[ "$(pktcat connect --send hello localhost 9000)" = hello ]
[ "$(pktcat connect -u --count 1 --send hello localhost 9000)" = hello ]
"#,
    ),
    example(
        "an_echo_service_of_this_machine",
        &["pktcat listen -k --echo 127.0.0.1 9000"],
        r#"
background "$line1"
ready 9000
[ "$(pktcat connect --send hello localhost 9000)" = hello ]
"#,
    ),
    example(
        "an_access_list",
        &["pktcat listen -k --allow 192.0.2.0/24 9000"],
        r#"
ip address add 192.0.2.1/24 dev lo
background "$line1 > log"
ready 9000
pktcat connect -s 192.0.2.1 --send in 192.0.2.1 9000
pktcat connect --send out 127.0.0.1 9000 || :
until grep -q in log; do sleep 0.02; done
! grep -q out log
"#,
    ),
    example(
        "a_program_for_each_client",
        &[
            r#"pktcat listen -k 127.0.0.1 9000 -- sh -c 'read name; echo "hello $name from $PKTCAT_PEER_ADDR"'"#,
        ],
        r#"
background "$line1"
ready 9000
[ "$(echo you | pktcat connect localhost 9000)" = 'hello you from 127.0.0.1' ]
"#,
    ),
    example(
        "a_filter_for_each_client",
        &["pktcat listen -k 127.0.0.1 9000 -- sort"],
        r#"
background "$line1"
ready 9000
[ "$(printf 'b\na\n' | pktcat connect localhost 9000)" = 'a
b' ]
"#,
    ),
    example(
        "a_local_socket",
        &["pktcat listen -U here.sock > copy", "pktcat connect -U here.sock < file"],
        r#"
background "$line1"
until [ -S here.sock ]; do sleep 0.02; done
eval "$line2"
wait $last
cmp file copy
"#,
    ),
    example(
        "datagrams_with_their_boundaries",
        &[
            "pktcat listen -u -q 1 -O frames 9000 > capture",
            "pktcat connect -u -I lines localhost 9000 < messages",
            "pktcat connect -u -I frames localhost 9000 < capture",
        ],
        r#"
background "$line1"
ready_udp 9000
eval "$line2"
wait $last
printf '\0\0\0\3one\0\0\0\3two' | cmp - capture
background 'pktcat listen -u --count 2 -O lines 9000 > again'
ready_udp 9000
eval "$line3"
wait $last
cmp messages again
"#,
    ),
    example(
        "a_dump_in_a_file",
        &["pktcat listen --hex-file dump 9000 > file"],
        r#"
background "$line1"
ready_listener
pktcat connect --send hello localhost 9000
wait $last
[ "$(cat file)" = hello ]
grep -q '|hello|' dump
"#,
    ),
    example(
        "a_capture",
        &["pktcat listen --pcap capture.pcap 9000 > file"],
        r#"
background "$line1"
ready_listener
pktcat connect --send hello localhost 9000
wait $last
grep -q hello capture.pcap
"#,
    ),
    example(
        "events_and_a_bar",
        &[
            "pktcat listen --json 9000 > file 2> events",
            "pktcat connect --progress localhost 9000 < file",
        ],
        r#"
cp file sent
mkdir other
background "$line1" other
ready_listener
eval "$line2"
wait $last
cmp sent other/file
python3 -c 'import json; assert [json.loads(line) for line in open("other/events")][-1]["event"] == "summary"'
"#,
    ),
    example(
        "a_forwarder_that_shows_what_passes",
        &["pktcat forward -x 8080 localhost:80"],
        r#"
background 'pktcat listen -k --echo 127.0.0.1 80'
ready 80
background "$line1 2> dump"
ready 8080
[ "$(pktcat connect --send hello localhost 8080)" = hello ]
until [ "$(grep -c '|hello|' dump)" = 2 ]; do sleep 0.02; done
"#,
    ),
    example(
        "a_port_for_a_local_socket",
        &["pktcat forward 8080 unix:/run/app.sock"],
        r#"
mkdir run
mount --bind run /run
background 'pktcat listen -k --echo -U /run/app.sock'
until [ -S /run/app.sock ]; do sleep 0.02; done
background "$line1"
ready 8080
[ "$(pktcat connect --send hello localhost 8080)" = hello ]
"#,
    ),
    example(
        "a_dump_of_a_stream",
        &["pktcat connect -x --send hello localhost 9000"],
        r#"
background 'pktcat listen 9000 > copy'
ready_listener
eval "$line1" 2> dump
wait $last
[ "$(cat copy)" = hello ]
grep -q '|hello|' dump
"#,
    ),
    example(
        "a_question_by_datagram",
        &["pktcat connect -u --count 1 -q 3 --send hello localhost 9000"],
        r#"
background 'pktcat listen -u -k --echo 9000'
ready_udp 9000
[ "$(eval "$line1")" = hello ]
"#,
    ),
    example(
        "comparisons",
        &[
            "pktcat compare",
            "pktcat compare --count 20000 --window 1 --plot",
            "pktcat compare --explain --impair loss=2%,delay=20ms,seed=1",
        ],
        r#"
eval "$line1" | grep -q throughput
eval "$line2" | grep -q µs
eval "$line3" | grep -q lost
"#,
    ),
    example(
        "completions",
        &[
            "pktcat completions bash > ~/.local/share/bash-completion/completions/pktcat",
            "pktcat completions fish > ~/.config/fish/completions/pktcat.fish",
            "pktcat completions zsh > ~/.zsh/completions/_pktcat",
        ],
        r#"
HOME=$PWD
mkdir -p .local/share/bash-completion/completions .config/fish/completions .zsh/completions
eval "$line1"
eval "$line2"
eval "$line3"
[ "$(grep -l connect .local/share/*/*/* .config/fish/*/* .zsh/*/* | wc -l)" = 3 ]
"#,
    ),
];
