//! The HTTP link against a server of the test's own: where each message goes, and what becomes of each kind of refusal.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread::{self, JoinHandle},
    time::Duration,
};

use annona_protocol::ids::{ProgrammeId, SiteId};
use annona_transport::{Client, Options, Server};
use annona_wallet::{Endpoint, HttpLink, Link as _, LinkError};

/// A server that gives these answers in order, and then the requests' first lines with their bodies.
fn serve(answers: Vec<String>) -> (Client, JoinHandle<Vec<(String, String)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let thread = thread::spawn(move || {
        let serve = |answer: String| {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut head, mut byte) = (String::new(), [0]);
            while !head.ends_with("\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                head.push(char::from(byte[0]));
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            stream.read_exact(&mut body).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            (head.lines().next().unwrap().to_owned(), String::from_utf8(body).unwrap())
        };
        answers.into_iter().map(serve).collect()
    });
    (Client::new(Server { url, key: None }, &Options::default()).unwrap(), thread)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

#[test]
fn every_message_goes_where_the_interface_says() {
    let issuer =
        [Endpoint::Enrol, Endpoint::RollOver, Endpoint::Session, Endpoint::Draw, Endpoint::Swap, Endpoint::Amend];
    let site = [Endpoint::Quote(SiteId(7)), Endpoint::Redeem(SiteId(7)), Endpoint::Collect(SiteId(7))];
    let (issuer_client, issuer_thread) = serve(vec![answer("200 OK", "", "yes"); issuer.len()]);
    let (site_client, site_thread) = serve(vec![answer("200 OK", "", "yes"); site.len()]);
    let link = HttpLink::new(issuer_client).with_site(SiteId(7), site_client);
    for endpoint in issuer.into_iter().chain(site) {
        assert_eq!(link.send(endpoint, b"message").unwrap(), b"yes");
    }
    assert!(matches!(link.send(Endpoint::Redeem(SiteId(8)), b"message"), Err(LinkError::Unusable { .. })));
    let lines = |thread: JoinHandle<Vec<(String, String)>>| {
        let requests = thread.join().unwrap();
        assert!(requests.iter().all(|(_, body)| body == "message"));
        requests.into_iter().map(|(line, _)| line.split(' ').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    let expected = ["/v1/enrol", "/v1/roll-over", "/v1/sessions", "/v1/draw", "/v1/swap", "/v1/amend"];
    assert_eq!(lines(issuer_thread), expected);
    assert_eq!(lines(site_thread), ["/v1/quote", "/v1/redeem", "/v1/collect"]);
}

#[test]
fn refusals_keep_their_code_and_their_signed_word() {
    let problem = "content-type: application/problem+json\r\n";
    let (client, thread) = serve(vec![
        answer("503 Service Unavailable", &format!("{problem}retry-after: 2\r\n"), r#"{"code":"sessions"}"#),
        answer("409 Conflict", problem, r#"{"code":"spent","title":"the credential is spent"}"#),
        answer("409 Conflict", "content-type: application/octet-stream\r\nannona-code: session-gone\r\n", "word"),
        answer("200 OK", "", "no announcement"),
    ]);
    let link = HttpLink::new(client);
    let LinkError::Lost { retry_after, .. } = link.send(Endpoint::Draw, b"").unwrap_err() else { panic!("busy") };
    assert_eq!(retry_after, Some(Duration::from_secs(2)));
    let LinkError::Refused(spent) = link.send(Endpoint::Draw, b"").unwrap_err() else { panic!("refused") };
    assert_eq!(
        (spent.status, spent.code.as_str(), spent.to_string().as_str()),
        (409, "spent", "the credential is spent")
    );
    assert!(spent.signed.is_none() && !spent.is_transient());
    let LinkError::Refused(gone) = link.send(Endpoint::Draw, b"").unwrap_err() else { panic!("refused") };
    assert_eq!((gone.code.as_str(), gone.signed.as_deref()), ("session-gone", Some(&b"word"[..])));
    assert!(matches!(link.programme(ProgrammeId([1; 32])), Err(LinkError::Unusable { .. })));
    assert_eq!(thread.join().unwrap().len(), 4);
}
