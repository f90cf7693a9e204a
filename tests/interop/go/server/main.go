// SPDX-License-Identifier: MIT

// Go's gorilla/websocket as the server: prints its URL, then a line for each close.
// INTEROP_TLS names a file with a certificate and its key, to speak TLS.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gorilla/websocket"
)

// What a writer takes leaves in fragments of this size.
var upgrader = websocket.Upgrader{WriteBufferSize: 1024, EnableCompression: true}

func write(conn *websocket.Conn, kind int, data []byte, inFragments bool) error {
	if !inFragments {
		return conn.WriteMessage(kind, data)
	}
	writer, err := conn.NextWriter(kind)
	if err != nil {
		return err
	}
	for len(data) > 0 {
		part := data
		if len(part) > 700 {
			part = part[:700]
		}
		if _, err = writer.Write(part); err != nil {
			return err
		}
		data = data[len(part):]
	}
	return writer.Close()
}

func echo(conn *websocket.Conn, inFragments bool) error {
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if err = write(conn, kind, data, inFragments); err != nil {
			return err
		}
	}
}

func serve(w http.ResponseWriter, r *http.Request) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		log.Print(err)
		return
	}
	defer conn.Close()
	conn.SetPongHandler(func(payload string) error {
		return conn.WriteMessage(websocket.TextMessage, []byte("pong "+payload))
	})
	switch r.URL.Path {
	case "/ping":
		err = conn.WriteControl(websocket.PingMessage, []byte("libwsock"), time.Time{})
	case "/close":
		frame := websocket.FormatCloseMessage(4001, "asked")
		err = conn.WriteControl(websocket.CloseMessage, frame, time.Time{})
	}
	if err == nil {
		err = echo(conn, r.URL.Path == "/fragments")
	}
	if end, isClose := err.(*websocket.CloseError); isClose {
		fmt.Println("close", end.Code, end.Text)
	} else {
		fmt.Println("lost", err)
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	scheme := "ws"
	if file := os.Getenv("INTEROP_TLS"); file != "" {
		pair, err := tls.LoadX509KeyPair(file, file)
		if err != nil {
			log.Fatal(err)
		}
		scheme = "wss"
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}})
	}
	fmt.Printf("%s://%s\n", scheme, listener.Addr())
	go func() {
		if err := http.Serve(listener, http.HandlerFunc(serve)); err != nil {
			log.Fatal(err)
		}
	}()
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		log.Fatal(err)
	}
}
