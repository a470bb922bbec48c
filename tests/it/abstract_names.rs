//! Local sockets with an abstract name, `-U @NAME`: no file, in both roles, as streams and as datagrams.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};

use libtest_mimic::Trial;

use crate::tests;
use crate::util::{Input, PATIENCE, pktcat, pktcat_line, ways};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_name_that_no_socket_can_have_is_a_usage_error,
        streams_go_both_ways_without_a_file,
        it_is_the_kernels_name,
        datagrams_are_answered,
        a_name_in_use_is_told,
        a_name_that_nobody_has_is_refused,
        a_path_is_one_though_it_looks_like_a_name,
    ]
}

/// A name that no other test has.
fn name(of: &str) -> String {
    format!("pktcat-test-{}-{of}", std::process::id())
}

fn address(name: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(name).unwrap()
}

fn streams_go_both_ways_without_a_file() {
    for way in ways() {
        let name = name("stream");
        let listen = pktcat_line(&format!("listen {way} -v -U @{name}"));
        let listener = listen.stdin(Input::Bytes(b"from listen".to_vec())).spawn();
        listener.wait_line(&format!("listening on @{name} (unix)"));
        let connect = pktcat_line(&format!("connect {way} -v -U @{name}"));
        let client = connect.stdin(Input::Bytes(b"from connect".to_vec())).run().expect_code(0);
        assert_eq!(client.stdout, b"from listen");
        assert!(
            client.stderr.starts_with(&format!("connected to @{name} (unix)\n")),
            "{}",
            client.stderr
        );
        assert_eq!(listener.wait().expect_code(0).stdout, b"from connect");
        assert!(!std::path::Path::new(&format!("@{name}")).exists());
    }
}

fn it_is_the_kernels_name() {
    let name = name("kernel");
    let listener = UnixListener::bind_addr(&address(&name)).unwrap();
    let client = pktcat_line(&format!("connect -U @{name} --send hello")).spawn();
    let (mut peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(std::io::read_to_string(&mut peer).unwrap(), "hello");
    drop(peer);
    client.wait().expect_code(0);
    // Another name: while another test starts a program, that has a copy of the listener for a moment.
    let name = self::name("kernel-too");
    let server = pktcat_line(&format!("listen -v -k --echo -U @{name}")).spawn();
    server.wait_line("listening on ");
    let peer = UnixStream::connect_addr(&address(&name)).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    std::io::Write::write_all(&mut &peer, b"x").unwrap();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(std::io::read_to_string(&peer).unwrap(), "x");
}

fn datagrams_are_answered() {
    let name = name("datagrams");
    let server =
        pktcat_line(&format!("listen -v -u -O lines --tag --count 1 --send hi -U @{name}")).spawn();
    server.wait_line("listening on ");
    let own = format!("{name}-own");
    let line = format!("connect -u -U @{name} -s @{own} --send hello --expect hi");
    pktcat_line(&line).run().expect_code(0);
    let ended = server.wait().expect_code(0);
    assert_eq!(ended.stdout_text(), format!("@{own} hello\n"));
    assert!(ended.stderr.contains(&format!("peer @{own} (unix)")), "{}", ended.stderr);
    // Another program as the peer.
    let peer = UnixDatagram::bind_addr(&address(&name)).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let client =
        pktcat_line(&format!("connect -u -U @{name} -s @{own} --send x --count 1 -q 20s")).spawn();
    let mut room = [0; 9];
    let (length, from) = peer.recv_from(&mut room).unwrap();
    assert_eq!((&room[..length], from.as_abstract_name()), (&b"x"[..], Some(own.as_bytes())));
    peer.send_to_addr(b"y", &from).unwrap();
    assert_eq!(client.wait().expect_code(0).stdout, b"y");
}

fn a_name_in_use_is_told() {
    let name = name("used");
    let _listener = UnixListener::bind_addr(&address(&name)).unwrap();
    let ended = pktcat_line(&format!("listen -U @{name}")).run().expect_code(1);
    let why = "address already in use (another program has it)";
    assert_eq!(ended.stderr, format!("pktcat: listen: @{name} (unix): {why}\n"));
}

fn a_name_that_nobody_has_is_refused() {
    let name = name("nobody");
    pktcat_line(&format!("connect -U @{name}")).run().expect_code(4);
    pktcat_line(&format!("connect -u --send x -U @{name}")).run().expect_code(4);
    pktcat_line("connect -U @").run().expect_code(2);
    pktcat_line("listen -U @").run().expect_code(2);
    let long = "x".repeat(108);
    assert_eq!(pktcat_line(&format!("listen -U @{long}")).run().stderr.lines().count(), 1);
}

fn a_path_is_one_though_it_looks_like_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let script = "cd \"$0\" && exec \"$@\"";
    let here = ["sh", "-c", script, folder.path().to_str().unwrap()];
    let server = pktcat_line("listen -v -U ./@s").through(here).spawn();
    server.wait_line("listening on ./@s (unix)");
    assert!(folder.path().join("@s").exists());
    let client = pktcat_line("connect -U ./@s --send x").through(here).run();
    client.expect_code(0);
    assert_eq!(server.wait().expect_code(0).stdout, b"x");
    // A file of that name is no business of a socket with an abstract one.
    std::fs::write(folder.path().join("@t"), "kept").unwrap();
    let server = pktcat_line("listen -v -U @t").through(here).spawn();
    server.wait_line("listening on @t (unix)");
    pktcat_line("connect -U @t").run().expect_code(0);
    server.wait().expect_code(0);
    assert!(folder.path().join("@t").exists());
}

fn a_name_that_no_socket_can_have_is_a_usage_error() {
    let long = "x".repeat(108);
    for (words, says) in [
        (vec!["connect", "-U", &*long], "has 108 bytes; a local socket's name has at most 107"),
        (
            vec!["listen", "-U", &*format!("@{long}")],
            "has 109 bytes; a local socket's name has at most 108",
        ),
        (vec!["listen", "-U", "@"], "an abstract name has more than that"),
        (vec!["forward", "unix:@", "127.0.0.1:9"], "an abstract name has more than that"),
        (vec!["forward", "0", "unix:"], "the path is missing"),
        (vec!["forward", "0", &*format!("unix:{long}")], "has 108 bytes"),
    ] {
        let ended = pktcat(&words).run().expect_code(2);
        assert!(ended.stderr.contains(says), "{words:?}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1);
    }
}
