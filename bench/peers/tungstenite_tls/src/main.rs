// SPDX-License-Identifier: MIT
//! The echo of Rust's tungstenite over rustls, a thread for each connection:
//! tungstenite_tls PORT FILE, which has the chain and the key.
use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rustls::crypto::ring::Ticketer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

fn config(pem: &str) -> Result<ServerConfig, Box<dyn Error>> {
    let chain = CertificateDer::pem_file_iter(pem)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(pem)?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    config.ticketer = Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// Until the connection ends, in whatever way.
fn echo(socket: TcpStream, config: Arc<ServerConfig>) -> Result<(), Box<dyn Error>> {
    socket.set_nodelay(true)?;
    let stream = StreamOwned::new(ServerConnection::new(config)?, socket);
    let mut ws = tungstenite::accept(stream).map_err(|_| "no handshake")?;
    loop {
        let message = ws.read()?;
        if message.is_binary() || message.is_text() {
            ws.send(message)?;
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let config = Arc::new(config(&args[2])?);
    let listener = TcpListener::bind(("127.0.0.1", args[1].parse()?))?;
    println!("ready");
    for socket in listener.incoming() {
        let (socket, config) = (socket?, config.clone());
        std::thread::spawn(move || {
            let _ = echo(socket, config);
        });
    }
    Ok(())
}
