// SPDX-License-Identifier: MIT
//! Rust's tungstenite as the client: client URL. Panics at the first surprise.
use std::net::TcpStream;
use std::time::Duration;

use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame};
use tungstenite::{client, Message, WebSocket};

const SIZES: [usize; 7] = [0, 1, 125, 126, 65535, 65536, 300000];
const FRAGMENTS: [&str; 3] = ["frag", "mént", "éd ☃"];
const CLOSES: [(u16, &str); 2] = [(1000, "bye"), (4001, "see you ☃")];

fn block(size: usize) -> Vec<u8> {
    (0..size).map(|i| ((i * 7 + 255) % 256) as u8).collect()
}

/// Bytes that do not compress, the same in all languages.
fn noise(size: usize) -> Vec<u8> {
    let mut state: u32 = 1;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1103515245).wrapping_add(12345);
        (state >> 24) as u8
    })
    .take(size)
    .collect()
}

/// They differ in their number only; their letters do not compress by themselves.
fn row() -> Vec<String> {
    let letters: String = noise(48).iter().map(|byte| char::from(48 + byte % 64)).collect();
    (0..8).map(|i| format!("row {i} {letters}")).collect()
}

fn connect(url: &str, path: &str) -> WebSocket<TcpStream> {
    let address = url.strip_prefix("ws://").expect("a ws URL");
    let stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("timeout");
    client(format!("{url}{path}"), stream).expect("handshake").0
}

fn expect(ws: &mut WebSocket<TcpStream>, sent: Message, what: &str) {
    let back = ws.read().expect(what);
    assert!(back == sent, "{what}: another echo");
    println!("ok {what}");
}

fn echoes(ws: &mut WebSocket<TcpStream>) {
    let long = ["€".repeat(1000), "wsock ".repeat(171)];
    for text in ["", "a", "Hello", "κόσμε ☃ 😀 übung", &long[0], &long[1]] {
        ws.send(Message::text(text)).expect("send");
        expect(ws, Message::text(text), &format!("text of {} bytes", text.len()));
    }
    let noises = [noise(65536), noise(10000).repeat(6)];
    for data in SIZES.into_iter().map(block).chain(noises) {
        ws.send(Message::binary(data.clone())).expect("send");
        let what = format!("binary of {} bytes", data.len());
        expect(ws, Message::binary(data), &what);
    }
    for text in row() {
        ws.send(Message::text(text)).expect("send");
    }
    for text in row() {
        expect(ws, Message::text(text.clone()), &text);
    }
    for (i, part) in FRAGMENTS.iter().enumerate() {
        let code = OpCode::Data(if i == 0 { Data::Text } else { Data::Continue });
        let frame = Frame::message(part.as_bytes().to_vec(), code, i == FRAGMENTS.len() - 1);
        ws.send(Message::Frame(frame)).expect("send");
    }
    expect(ws, Message::text(FRAGMENTS.concat()), "text in three fragments");
}

/// One of the reasons: what only answers our own close may leave it out.
fn expect_close(ws: &mut WebSocket<TcpStream>, code: u16, reasons: &[&str]) {
    match ws.read().expect("close") {
        Message::Close(Some(end)) => {
            assert_eq!(u16::from(end.code), code);
            assert!(reasons.contains(&end.reason.as_str()), "reason {}", end.reason);
        }
        other => panic!("close {code}: got {other:?}"),
    }
    assert!(ws.read().is_err(), "the connection goes on behind its close");
    println!("ok close {code}");
}

fn main() {
    let url = std::env::args().nth(1).expect("usage: client URL");
    for (code, reason) in CLOSES {
        let mut ws = connect(&url, "/echo");
        echoes(&mut ws);
        ws.send(Message::Ping("are you there".into())).expect("ping");
        expect(&mut ws, Message::Pong("are you there".into()), "ping");
        ws.close(Some(CloseFrame { code: code.into(), reason: reason.into() })).expect("close");
        expect_close(&mut ws, code, &[reason, ""]);
    }
    let mut pinged = connect(&url, "/ping");
    expect(&mut pinged, Message::Ping("libwsock".into()), "ping of the server");
    expect(&mut pinged, Message::text("pong libwsock"), "answer to a ping");
    expect_close(&mut connect(&url, "/close"), 4001, &["asked"]);
}
