// SPDX-License-Identifier: MIT

// The fan-out of gws, without compression: gws_room PORT. Everybody is in one room, and a
// message is encoded once by its broadcaster.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/lxzan/gws"
)

type room struct {
	gws.BuiltinEventHandler
	lock    sync.RWMutex
	members map[*gws.Conn]struct{}
}

func (r *room) OnOpen(conn *gws.Conn) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.members[conn] = struct{}{}
}

func (r *room) OnClose(conn *gws.Conn, err error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	delete(r.members, conn)
}

func (r *room) OnMessage(conn *gws.Conn, message *gws.Message) {
	defer message.Close()
	broadcaster := gws.NewBroadcaster(message.Opcode, message.Bytes())
	defer broadcaster.Close()
	r.lock.RLock()
	defer r.lock.RUnlock()
	for member := range r.members {
		if err := broadcaster.Broadcast(member); err != nil {
			log.Print(err)
		}
	}
}

func main() {
	upgrader := gws.NewUpgrader(&room{members: map[*gws.Conn]struct{}{}}, &gws.ServerOption{})
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	handler := http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		conn, err := upgrader.Upgrade(w, request)
		if err != nil {
			log.Print(err)
			return
		}
		go conn.ReadLoop()
	})
	log.Fatal(http.Serve(listener, handler))
}
