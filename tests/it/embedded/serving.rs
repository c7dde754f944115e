//! From when on the server can be reached, and what is there by then.

use std::net::{SocketAddr, TcpListener, TcpStream};

use stonewal::commands::serve;
use stonewal::store::embedded::{Error, Options, Server};
use stonewal::store::roles::Role;

/// On a loopback address of this test alone.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.83.7.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_bound_server_is_known_but_refuses_connections_until_it_listens() {
    let root = tempfile::tempdir().unwrap();
    let bound = Server::bind(Options::new(root.path().join("store"))).await.unwrap();
    let endpoint = bound.server().endpoint();
    let address: SocketAddr = endpoint.strip_prefix("http://").unwrap().parse().unwrap();
    assert_ne!(address.port(), 0);
    bound.server().credentials(Role::Writer).unwrap();
    assert!(TcpStream::connect(address).is_err(), "it listens already");
    let server = bound.listen().unwrap();
    assert_eq!(server.endpoint(), endpoint);
    TcpStream::connect(address).unwrap();
    let mut second = Options::new(root.path().join("other"));
    second.listen = address;
    let second = Server::start(second).await;
    assert!(matches!(second, Err(Error::Listen { .. })), "{second:?}");
}

/// Whoever waits for the port may read at once how to become somebody: at the first start, and when an old file lies there.
#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_the_roles_are_complete_when_the_port_opens() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    for _ in 0..2 {
        let listen = free_address();
        let env = root.join("env");
        let waiting = std::thread::spawn(move || {
            while TcpStream::connect(listen).is_err() {}
            Role::ALL.map(|role| std::fs::read_to_string(env.join(role.name())).unwrap_or_default())
        });
        let options = serve::Options { root: root.clone(), listen, request_log: None };
        let (server, _) = serve::start(options).await.unwrap();
        for (role, text) in Role::ALL.iter().zip(waiting.join().unwrap()) {
            let key = server.credentials(*role).unwrap().access_key;
            assert!(text.contains(&format!("http://{listen} ")) && text.contains(&key), "{role:?}: {text:?}");
            assert!(text.ends_with('\n'), "{role:?} is cut off");
        }
        let names = std::fs::read_dir(root.join("env")).unwrap().count();
        assert_eq!(names, Role::ALL.len(), "temporary files are left");
        server.stop().await;
    }
}
