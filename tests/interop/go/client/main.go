// SPDX-License-Identifier: MIT

// Go's gorilla/websocket as the client: client URL. Ends with status 1 at the first surprise.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

var (
	texts = []string{"", "a", "Hello", "κόσμε ☃ 😀 übung", strings.Repeat("€", 1000),
		strings.Repeat("wsock ", 171)}
	sizes  = []int{0, 1, 125, 126, 65535, 65536, 300000}
	closes = []websocket.CloseError{{Code: 1000, Text: "bye"}, {Code: 4001, Text: "see you ☃"}}
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func block(size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i*7 + 255)
	}
	return data
}

// Bytes that do not compress, the same in all languages.
func noise(size int) []byte {
	data := make([]byte, size)
	state := uint32(1)
	for i := range data {
		state = state*1103515245 + 12345
		data[i] = byte(state >> 24)
	}
	return data
}

func binaries() [][]byte {
	all := [][]byte{noise(65536), bytes.Repeat(noise(10000), 6)}
	for _, size := range sizes {
		all = append(all, block(size))
	}
	return all
}

// They differ in their number only, which is what a context is for; their letters do not
// compress by themselves.
func row() []string {
	letters := noise(48)
	for i := range letters {
		letters[i] = 48 + letters[i]%64
	}
	all := make([]string, 8)
	for i := range all {
		all[i] = fmt.Sprintf("row %d %s", i, letters)
	}
	return all
}

func dial(url string) *websocket.Conn {
	// A small write buffer: what a NextWriter takes leaves in fragments of this size.
	dialer := websocket.Dialer{
		WriteBufferSize: 1024, HandshakeTimeout: 20 * time.Second, EnableCompression: true}
	conn, _, err := dialer.Dial(url, nil)
	check(err)
	check(conn.SetReadDeadline(time.Now().Add(60 * time.Second)))
	return conn
}

func expect(conn *websocket.Conn, kind int, sent []byte, what string) {
	gotKind, got, err := conn.ReadMessage()
	check(err)
	if gotKind != kind || !bytes.Equal(got, sent) {
		log.Fatalf("%s: another echo", what)
	}
	fmt.Println("ok", what)
}

// What only answers our own close may leave the reason out.
func expectClose(conn *websocket.Conn, want websocket.CloseError, isAnswer bool) {
	_, _, err := conn.ReadMessage()
	end, isClose := err.(*websocket.CloseError)
	if !isClose || end.Code != want.Code || (end.Text != want.Text && !(isAnswer && end.Text == "")) {
		log.Fatalf("close: got %v, not %v", err, &want)
	}
	fmt.Println("ok close", want.Code)
}

func echoes(conn *websocket.Conn) {
	for _, text := range texts {
		check(conn.WriteMessage(websocket.TextMessage, []byte(text)))
		expect(conn, websocket.TextMessage, []byte(text), fmt.Sprintf("text of %d bytes", len(text)))
	}
	for _, binary := range binaries() {
		check(conn.WriteMessage(websocket.BinaryMessage, binary))
		expect(conn, websocket.BinaryMessage, binary, fmt.Sprintf("binary of %d bytes", len(binary)))
	}
	for _, text := range row() { // without waiting in between
		check(conn.WriteMessage(websocket.TextMessage, []byte(text)))
	}
	for _, text := range row() {
		expect(conn, websocket.TextMessage, []byte(text), text)
	}
	writer, err := conn.NextWriter(websocket.BinaryMessage)
	check(err)
	for _, size := range []int{1000, 1000, 1000} {
		_, err = writer.Write(block(size))
		check(err)
	}
	check(writer.Close())
	expect(conn, websocket.BinaryMessage, bytes.Repeat(block(1000), 3), "binary in fragments")
}

func pingAndEcho(conn *websocket.Conn) {
	ponged := ""
	conn.SetPongHandler(func(payload string) error { ponged = payload; return nil })
	check(conn.WriteControl(websocket.PingMessage, []byte("are you there"), time.Time{}))
	check(conn.WriteMessage(websocket.TextMessage, []byte("behind the ping")))
	expect(conn, websocket.TextMessage, []byte("behind the ping"), "echo behind a ping")
	if ponged != "are you there" {
		log.Fatalf("ping: answered with %q", ponged)
	}
	fmt.Println("ok ping")
}

func main() {
	log.SetFlags(0)
	url := os.Args[1]
	for _, end := range closes {
		conn := dial(url + "/echo")
		echoes(conn)
		pingAndEcho(conn)
		frame := websocket.FormatCloseMessage(end.Code, end.Text)
		check(conn.WriteControl(websocket.CloseMessage, frame, time.Time{}))
		expectClose(conn, end, true)
		check(conn.Close())
	}
	pinged := dial(url + "/ping")
	expect(pinged, websocket.TextMessage, []byte("pong libwsock"), "answer to a ping")
	check(pinged.Close())
	closed := dial(url + "/close")
	expectClose(closed, websocket.CloseError{Code: 4001, Text: "asked"}, false)
	check(closed.Close())
}
