// SPDX-License-Identifier: MIT
//! The fan-out of Rust's tungstenite on tokio: tungstenite_room PORT. Everybody is in one
//! room; what waits for a member is written into its buffer, and leaves in one flush.
use std::error::Error;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::{error::TryRecvError, Receiver, Sender};
use tokio_tungstenite::tungstenite::Message;

const WAITING: usize = 1 << 16;

type Failure = Box<dyn Error>;

/// Until the connection ends, in whatever way.
async fn member(
    socket: TcpStream,
    room: Sender<Message>,
    mut said: Receiver<Message>,
) -> Result<(), Failure> {
    socket.set_nodelay(true)?;
    let (mut sink, mut stream) = tokio_tungstenite::accept_async(socket).await?.split();
    let listens = async {
        while let Some(message) = stream.next().await {
            let message = message?;
            if message.is_binary() || message.is_text() {
                let _ = room.send(message);
            }
        }
        Ok::<(), Failure>(())
    };
    let hears = async {
        loop {
            sink.feed(said.recv().await?).await?;
            loop {
                match said.try_recv() {
                    Ok(message) => sink.feed(message).await?,
                    Err(TryRecvError::Empty) => break,
                    Err(error) => return Err::<(), Failure>(error.into()),
                }
            }
            sink.flush().await?;
        }
    };
    tokio::select! { end = listens => end, end = hears => end }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: tungstenite_room PORT")?.parse()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let (room, _) = tokio::sync::broadcast::channel(WAITING);
    println!("ready");
    loop {
        let (socket, _) = listener.accept().await?;
        let (room, said) = (room.clone(), room.subscribe());
        tokio::spawn(async move {
            let _ = member(socket, room, said).await;
        });
    }
}
