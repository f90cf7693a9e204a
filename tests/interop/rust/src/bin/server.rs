// SPDX-License-Identifier: MIT
//! Rust's tungstenite as the server: prints its URL, then a line for each close.
use std::io::Read;
use std::net::{TcpListener, TcpStream};

use tungstenite::handshake::server::{Request, Response};
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame};
use tungstenite::{accept_hdr, Message, Result, WebSocket};

const FRAGMENT: usize = 1000;

fn send_in_fragments(ws: &mut WebSocket<TcpStream>, data: &[u8], first: Data) -> Result<()> {
    let count = data.len().div_ceil(FRAGMENT).max(1);
    for i in 0..count {
        let part = &data[i * FRAGMENT..data.len().min((i + 1) * FRAGMENT)];
        let code = OpCode::Data(if i == 0 { first } else { Data::Continue });
        ws.send(Message::Frame(Frame::message(part.to_vec(), code, i == count - 1)))?;
    }
    Ok(())
}

fn answer(ws: &mut WebSocket<TcpStream>, message: Message, in_fragments: bool) -> Result<()> {
    match message {
        Message::Text(text) if in_fragments => send_in_fragments(ws, text.as_bytes(), Data::Text),
        Message::Binary(data) if in_fragments => send_in_fragments(ws, &data, Data::Binary),
        Message::Text(_) | Message::Binary(_) => ws.send(message),
        Message::Pong(payload) => {
            let payload = String::from_utf8_lossy(&payload).into_owned();
            ws.send(Message::text(format!("pong {payload}")))
        }
        Message::Close(Some(end)) => {
            println!("close {} {}", u16::from(end.code), end.reason);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn serve(stream: TcpStream) -> Result<()> {
    let mut path = String::new();
    let keep_path = |request: &Request, response: Response| {
        path = request.uri().path().to_string();
        Ok(response)
    };
    let mut ws = accept_hdr(stream, keep_path).expect("handshake");

    match path.as_str() {
        "/ping" => ws.send(Message::Ping("libwsock".into()))?,
        "/close" => ws.close(Some(CloseFrame { code: 4001.into(), reason: "asked".into() }))?,
        _ => {}
    }
    loop {
        let message = ws.read()?;
        answer(&mut ws, message, path == "/fragments")?;
    }
}

fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    println!("ws://{}", listener.local_addr().expect("address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || serve(stream.expect("accept")));
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new()).expect("stdin");
}
