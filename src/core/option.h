/* SPDX-License-Identifier: MIT */
/*
 * Every option of the library, once: name, where it is set, type, default, range, and the
 * line of text that --help and the manual print. This file holds the table and the
 * storage; who obeys an option reads it with wsi_option().
 *
 * wsi_option() may run in any thread at any time. Everything else on a struct wsi_options
 * is under a lock of the object that holds it.
 */
#ifndef WSI_CORE_OPTION_H
#define WSI_CORE_OPTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wsock/option.h>

#include "core/str.h"

#define WSI_KIB    INT64_C(1024)
#define WSI_MIB    (1024 * WSI_KIB)
#define WSI_TIB    (WSI_MIB * 1024 * 1024)
#define WSI_SECOND INT64_C(1000)
#define WSI_DAY    (WSI_SECOND * 3600 * 24)
#define WSI_LOTS   INT64_C(1000000000)

#define WSI_SCOPE_HEADS (WSOCK_SCOPE_SERVER | WSOCK_SCOPE_CLIENT)
#define WSI_SCOPE_CONNS (WSOCK_SCOPE_SERVER | WSOCK_SCOPE_ENDPOINT | WSOCK_SCOPE_CLIENT)
#define WSI_SCOPE_SERVED (WSOCK_SCOPE_SERVER | WSOCK_SCOPE_ENDPOINT)
#define WSI_SCOPE_ROOMS (WSOCK_SCOPE_SERVER | WSOCK_SCOPE_ROOM)

/*
 * X(ID, name, scope,
 *   type, default, min, max, live, words,
 *   text)
 *
 * Words stand for 0, 1, ... and are divided by '|': all the values of a choice; of a
 * number "off" (no limit, stored as INT64_MAX) or "auto", and min is then the least value
 * that is neither. The default of a string is "", its max a length.
 */
/* clang-format off */
#define WSI_OPTION_MAP(X)                                                                \
    X(WORKERS, "workers", WSOCK_SCOPE_RUNTIME,                                           \
      COUNT, 0, 1, 256, 0, "auto",                                                       \
      "Worker threads; auto: one per core")                                              \
    X(LOG_LEVEL, "log_level", WSOCK_SCOPE_RUNTIME,                                       \
      COUNT, 2, 0, 4, 1, "",                                                             \
      "What is logged: 0 nothing, 1 errors, 2 warnings too, 3 starts and stops, "        \
      "4 every connection")                                                              \
    X(MAX_BUFFERED_BYTES, "max_buffered_bytes", WSOCK_SCOPE_RUNTIME,                     \
      BYTES, 0, 1, WSI_TIB, 1, "auto",                                                   \
      "What all connections together may have buffered; auto: a quarter of the memory, " \
      "or the cgroup's limit if that is smaller")                                        \
    X(QUEUE_EVENTS, "queue_events", WSOCK_SCOPE_RUNTIME,                                 \
      COUNT, 4096, 16, WSI_LOTS, 1, "",                                                  \
      "Messages that may wait in a queue, for each worker; above it connections are "    \
      "not read")                                                                        \
    X(QUEUE_BYTES, "queue_bytes", WSOCK_SCOPE_RUNTIME,                                   \
      BYTES, 4 * WSI_MIB, WSI_KIB, WSI_TIB, 1, "",                                       \
      "Bytes of messages that may wait in a queue, for each worker; it may be one "      \
      "message more")                                                                    \
    X(MAX_CONNECTIONS, "max_connections", WSOCK_SCOPE_SERVER,                            \
      COUNT, 0, 1, WSI_LOTS, 1, "auto",                                                  \
      "Connections at one time; auto: what the limit of open files allows, less a "      \
      "reserve")                                                                         \
    X(MAX_CONNECTIONS_PER_ADDRESS, "max_connections_per_address", WSOCK_SCOPE_SERVER,    \
      COUNT, 0, 1, WSI_LOTS, 1, "off",                                                   \
      "Connections of one client's address at one time, also behind proxies that are "   \
      "believed; of IPv6, of a network of 64 bits; above it new ones get 429")           \
    X(MAX_ROOMS, "max_rooms", WSOCK_SCOPE_SERVER,                                        \
      COUNT, 100000, 1, WSI_LOTS, 1, "off",                                              \
      "Rooms at one time")                                                               \
    X(MAX_HISTORY_BYTES, "max_history_bytes", WSOCK_SCOPE_SERVER,                        \
      BYTES, 64 * WSI_MIB, WSI_KIB, WSI_TIB, 1, "",                                      \
      "What all rooms together keep of their last messages; above it the room that has " \
      "most drops its oldest")                                                           \
    X(CLUSTER, "cluster", WSOCK_SCOPE_SERVER,                                            \
      STRING, 0, 0, 4095, 0, "",                                                         \
      "Message broker over which servers share their rooms, as redis://user:password@"   \
      "host:port/database, rediss://..., nats://...; memory:NAME for servers of one "    \
      "process; empty: none")                                                            \
    X(CLUSTER_PREFIX, "cluster_prefix", WSOCK_SCOPE_SERVER,                              \
      STRING, 0, 0, 63, 0, "",                                                           \
      "Begins all names at the broker: clusters of different ones do not meet; empty: "  \
      "wsock")                                                                           \
    X(CLUSTER_NAME, "cluster_name", WSOCK_SCOPE_SERVER,                                  \
      STRING, 0, 0, 255, 0, "",                                                          \
      "What lists of nodes call this server; empty: the name of its machine")            \
    X(CLUSTER_BEAT, "cluster_beat", WSOCK_SCOPE_SERVER,                                  \
      MS, 5 * WSI_SECOND, 100, 3600 * WSI_SECOND, 0, "",                                 \
      "How often the server says that it is there; after three of these without, the "   \
      "others take it for gone, and its people with it")                                 \
    X(CLUSTER_TIMEOUT, "cluster_timeout", WSOCK_SCOPE_SERVER,                            \
      MS, 5 * WSI_SECOND, 10, WSI_DAY, 0, "",                                            \
      "Time that the broker may take to answer; then it counts as away")                 \
    X(CLUSTER_QUEUE_BYTES, "cluster_queue_bytes", WSOCK_SCOPE_SERVER,                    \
      BYTES, 16 * WSI_MIB, WSI_KIB, WSI_TIB, 0, "",                                      \
      "What may wait for the broker; above it publishing answers WSOCK_EAGAIN")          \
    X(CLUSTER_ANSWER_BYTES, "cluster_answer_bytes", WSOCK_SCOPE_SERVER,                  \
      BYTES, 64 * WSI_MIB, WSI_KIB, WSI_TIB, 0, "",                                      \
      "The largest answer that is taken from the broker")                                \
    X(CLUSTER_CA, "cluster_ca", WSOCK_SCOPE_SERVER,                                      \
      STRING, 0, 0, 4095, 0, "",                                                         \
      "PEM file of the authorities that certify the broker; empty: those of the system") \
    X(CLUSTER_CERT, "cluster_cert", WSOCK_SCOPE_SERVER,                                  \
      STRING, 0, 0, 4095, 0, "",                                                         \
      "PEM file with the certificate that is shown to the broker")                       \
    X(CLUSTER_KEY, "cluster_key", WSOCK_SCOPE_SERVER,                                    \
      STRING, 0, 0, 4095, 0, "",                                                         \
      "PEM file with its key; empty: in the same file")                                  \
    X(CLUSTER_VERIFY, "cluster_verify", WSOCK_SCOPE_SERVER,                              \
      BOOL, 1, 0, 1, 0, "",                                                              \
      "Check the broker's certificate and its name")                                     \
    X(REQUEST_TIMEOUT, "request_timeout", WSOCK_SCOPE_SERVER,                            \
      MS, 30 * WSI_SECOND, 1, WSI_DAY, 0, "",                                            \
      "Time that the application may take to answer a request")                          \
    X(STOP_TIMEOUT, "stop_timeout", WSOCK_SCOPE_SERVER,                                  \
      MS, 5 * WSI_SECOND, 0, WSI_DAY, 1, "",                                             \
      "Time that connections get to close when the server stops")                        \
    X(LISTEN_BACKLOG, "listen_backlog", WSOCK_SCOPE_SERVER,                              \
      COUNT, 1024, 1, 65535, 0, "",                                                      \
      "Connections that may wait in the kernel to be accepted, for each listener")       \
    X(REUSE_PORT, "reuse_port", WSOCK_SCOPE_SERVER,                                      \
      BOOL, 0, 0, 1, 0, "",                                                              \
      "Give each worker a listening socket of its own (SO_REUSEPORT)")                   \
    X(WWW, "www", WSOCK_SCOPE_SERVER,                                                    \
      STRING, 0, 0, 4095, 0, "",                                                         \
      "Directory whose files answer plain GET requests; empty: none")                    \
    X(ORIGINS, "origins", WSOCK_SCOPE_SERVER,                                            \
      STRING, 0, 0, 65535, 0, "",                                                        \
      "Origins whose pages may connect, separated by commas: https://a.example, "        \
      "https://*.a.example for all hosts below it, same for the host and port that "     \
      "the request names, null, or * for any; empty: same")                                          \
    X(PROXY_PROTOCOL_FROM, "proxy_protocol_from", WSOCK_SCOPE_SERVER,                    \
      STRING, 0, 0, 65535, 0, "",                                                        \
      "Proxies that begin each connection with a PROXY header (versions 1 and 2) and "   \
      "are believed: addresses, networks such as 10.0.0.0/8, and unix:, separated by "   \
      "commas")                                                                          \
    X(TRUST_FORWARDED_FROM, "trust_forwarded_from", WSOCK_SCOPE_SERVER,                  \
      STRING, 0, 0, 65535, 0, "",                                                        \
      "Proxies whose X-Forwarded-For, -Host and -Proto are believed; a list as above")   \
    X(SUBPROTOCOLS, "subprotocols", WSOCK_SCOPE_ENDPOINT,                                \
      STRING, 0, 0, 1023, 0, "",                                                         \
      "Subprotocols that are spoken here, separated by commas; the first one that a "    \
      "client offers is chosen")                                                         \
    X(AUTH_TIMEOUT, "auth_timeout", WSI_SCOPE_SERVED,                                    \
      MS, 10 * WSI_SECOND, 1, WSI_DAY, 1, "",                                            \
      "Rooms: time in which a client has to say hello; above it 4408")                   \
    X(ASK_TIMEOUT, "ask_timeout", WSI_SCOPE_SERVED,                                      \
      MS, 10 * WSI_SECOND, 1, WSI_DAY, 1, "",                                            \
      "Rooms: time that the application may take to answer a question")                  \
    X(HEARTBEAT, "heartbeat", WSI_SCOPE_SERVED,                                          \
      MS, 25 * WSI_SECOND, 100, WSI_DAY, 1, "",                                          \
      "Rooms: how often clients hear from the server, if only that it is there")         \
    X(HANDSHAKE_TIMEOUT, "handshake_timeout", WSI_SCOPE_HEADS,                           \
      MS, 10 * WSI_SECOND, 1, WSI_DAY, 1, "",                                            \
      "Time that the opening handshake may take")                                        \
    X(MAX_HEAD_BYTES, "max_head_bytes", WSI_SCOPE_HEADS,                                 \
      BYTES, 16 * WSI_KIB, WSI_KIB, WSI_MIB, 1, "",                                      \
      "Size of the head of an HTTP request or response")                                 \
    X(MAX_HEADERS, "max_headers", WSI_SCOPE_HEADS,                                       \
      COUNT, 100, 8, 256, 1, "",                                                         \
      "Header fields of an HTTP request or response")                                    \
    X(MAX_BODY_BYTES, "max_body_bytes", WSOCK_SCOPE_SERVER,                              \
      BYTES, 0, 0, 16 * WSI_MIB, 1, "",                                                  \
      "Size of the body of a plain HTTP request; above it 413; 0: POST gets 405")        \
    X(TLS_CERTIFICATE, "tls_certificate", WSI_SCOPE_HEADS,                               \
      STRING, 0, 0, 65535, 1, "",                                                        \
      "PEM files with a certificate and its chain, separated by commas; a server "       \
      "chooses by the name that is asked for")                                           \
    X(TLS_KEY, "tls_key", WSI_SCOPE_HEADS,                                               \
      STRING, 0, 0, 65535, 1, "",                                                        \
      "PEM files with their keys, in the same order; empty: in the files of the "        \
      "certificates")                                                                    \
    X(TLS_CA, "tls_ca", WSI_SCOPE_HEADS,                                                 \
      STRING, 0, 0, 4095, 1, "",                                                         \
      "PEM file of the authorities that certify the peer; empty: a client takes those "  \
      "of the system")                                                                   \
    X(TLS_CRL, "tls_crl", WSI_SCOPE_HEADS,                                               \
      STRING, 0, 0, 4095, 1, "",                                                         \
      "PEM file of lists of revoked certificates, one of the peer's authority at least") \
    X(TLS_MIN_VERSION, "tls_min_version", WSI_SCOPE_HEADS,                               \
      CHOICE, 0, 0, 2, 1, "auto|1.2|1.3",                                                \
      "Oldest version of TLS; auto: that of the system, but 1.2 at least")               \
    X(TLS_CIPHERS, "tls_ciphers", WSI_SCOPE_HEADS,                                       \
      STRING, 0, 0, 4095, 1, "",                                                         \
      "Ciphers of TLS 1.2, as OpenSSL writes them; empty: the system's")                 \
    X(TLS_CIPHERSUITES, "tls_ciphersuites", WSI_SCOPE_HEADS,                             \
      STRING, 0, 0, 4095, 1, "",                                                         \
      "Ciphers of TLS 1.3; empty: the system's")                                         \
    X(TLS_ALPN, "tls_alpn", WSI_SCOPE_HEADS,                                             \
      STRING, 0, 0, 1023, 1, "",                                                         \
      "Names for HTTP/1.1 in ALPN, the preferred one first, separated by commas: a "     \
      "client offers them, and a server refuses who offers none of them; none: ALPN "    \
      "is not used; empty: http/1.1")                                                    \
    X(TLS_OCSP, "tls_ocsp", WSOCK_SCOPE_SERVER,                                          \
      STRING, 0, 0, 65535, 1, "",                                                        \
      "Files with an OCSP response (DER) to staple, one for each certificate")           \
    X(TLS_VERIFY_CLIENT, "tls_verify_client", WSOCK_SCOPE_SERVER,                        \
      CHOICE, 0, 0, 2, 1, "none|optional|required",                                      \
      "Whether clients are asked for a certificate of tls_ca, and must have one")        \
    X(TLS_SESSION_LIFETIME, "tls_session_lifetime", WSOCK_SCOPE_SERVER,                  \
      MS, 7200 * WSI_SECOND, WSI_SECOND, 7 * WSI_DAY, 1, "off",                          \
      "Time for which clients can resume a session; keys of tickets are made anew as "   \
      "often")                                                                           \
    X(MAX_TLS_HANDSHAKES, "max_tls_handshakes", WSOCK_SCOPE_SERVER,                      \
      COUNT, 1024, 1, WSI_LOTS, 1, "",                                                   \
      "TLS handshakes under way at one time on a worker; above it the oldest is cut")    \
    X(TLS_VERIFY, "tls_verify", WSOCK_SCOPE_CLIENT,                                      \
      BOOL, 1, 0, 1, 1, "",                                                              \
      "Check the server's certificate and its name")                                     \
    X(TLS_PIN, "tls_pin", WSOCK_SCOPE_CLIENT,                                            \
      STRING, 0, 0, 4095, 1, "",                                                         \
      "Hashes of public keys of which the server must have one: "                        \
      "\"sha256//BASE64;sha256//BASE64\"")                                               \
    X(TLS_SERVER_NAME, "tls_server_name", WSOCK_SCOPE_CLIENT,                            \
      STRING, 0, 0, 255, 1, "",                                                          \
      "Name that the server is asked for and must have a certificate of; empty: the "    \
      "URL's host")                                                                      \
    X(TLS_TIMEOUT, "tls_timeout", WSOCK_SCOPE_CLIENT,                                    \
      MS, 10 * WSI_SECOND, 1, WSI_DAY, 1, "",                                            \
      "Time that the TLS handshake may take")                                            \
    X(PROXY, "proxy", WSOCK_SCOPE_CLIENT,                                                \
      STRING, 0, 0, 4095, 1, "",                                                         \
      "Proxy, as http://user:password@host:port or socks5://...; none: connect directly; " \
      "empty: what the environment says (ws_proxy, http_proxy, wss_proxy, https_proxy, "  \
      "all_proxy)")                                                                      \
    X(MAX_REDIRECTS, "max_redirects", WSOCK_SCOPE_CLIENT,                                \
      COUNT, 0, 0, 100, 1, "",                                                           \
      "Redirects that are followed, but never from wss to ws; Authorization and Cookie "  \
      "do not go to another origin")                                                     \
    X(MAX_REFUSAL_BYTES, "max_refusal_bytes", WSOCK_SCOPE_CLIENT,                        \
      BYTES, 0, 0, WSI_MIB, 1, "",                                                       \
      "So much of the body of an answer that refuses is waited for, within "             \
      "handshake_timeout, and kept")                                                     \
    X(NO_PROXY, "no_proxy", WSOCK_SCOPE_CLIENT,                                          \
      STRING, 0, 0, 4095, 1, "",                                                         \
      "Names, addresses and networks that are connected to directly, separated by "      \
      "commas; empty: for a proxy of the environment, what no_proxy there says")         \
    X(RESOLVE, "resolve", WSOCK_SCOPE_CLIENT,                                            \
      STRING, 0, 0, 4095, 1, "",                                                         \
      "Addresses of hosts that are not looked up then, as HOST:PORT:ADDRESS or "         \
      "HOST:PORT:ADDRESS:PORT, separated by commas; * is any host")                                                        \
    X(LOCAL_ADDRESS, "local_address", WSOCK_SCOPE_CLIENT,                                \
      STRING, 0, 0, 255, 1, "",                                                          \
      "Addresses of this machine to connect from, one of IPv4, one of IPv6 or both, "    \
      "separated by a comma, as ADDRESS or ADDRESS:PORT; empty: the system chooses")     \
    X(CONNECT_TIMEOUT, "connect_timeout", WSOCK_SCOPE_CLIENT,                            \
      MS, 10 * WSI_SECOND, 1, WSI_DAY, 0, "",                                            \
      "Time to resolve the name, to connect, and to pass a proxy")                                         \
    X(RECONNECT_DELAY, "reconnect_delay", WSOCK_SCOPE_CLIENT,                            \
      MS, 500, 1, WSI_DAY, 1, "",                                                        \
      "The first wait of a client that was started is at most so long, each that "       \
      "follows at most twice as long")                                                   \
    X(RECONNECT_MAX_DELAY, "reconnect_max_delay", WSOCK_SCOPE_CLIENT,                    \
      MS, 30 * WSI_SECOND, 1, WSI_DAY, 1, "",                                            \
      "No wait is longer, unless the server asks for that")                              \
    X(RECONNECT_STABLE_TIME, "reconnect_stable_time", WSOCK_SCOPE_CLIENT,                \
      MS, 10 * WSI_SECOND, 0, WSI_DAY, 1, "",                                            \
      "After being open for so long, waits and attempts are counted anew")               \
    X(RECONNECT_ATTEMPTS, "reconnect_attempts", WSOCK_SCOPE_CLIENT,                      \
      COUNT, 0, 1, WSI_LOTS, 1, "off",                                                   \
      "Attempts to connect again before a client gives up")                              \
    X(RECONNECT_STOP, "reconnect_stop", WSOCK_SCOPE_CLIENT,                              \
      STRING, 0, 0, 4095, 1, "",                                                         \
      "Ends after which it gives up at once: close codes, statuses of HTTP, ranges "     \
      "such as 4000-4099, and certificate, separated by commas; none: never; empty: "    \
      "1002, 1003, 1007-1010, 400-407, 410-417, 421, 426, 428, 431, 451, 501, 505, "     \
      "certificate")                                                                     \
    X(RECONNECT_BUFFER_BYTES, "reconnect_buffer_bytes", WSOCK_SCOPE_CLIENT,              \
      BYTES, 0, 0, WSI_TIB, 1, "",                                                       \
      "What may be kept of messages that are sent while it is not connected, with some " \
      "64 bytes for each")                                                               \
    X(MAX_MESSAGE_BYTES, "max_message_bytes", WSI_SCOPE_CONNS,                           \
      BYTES, WSI_MIB, 1, WSI_TIB, 1, "off",                                              \
      "Size of an incoming message; above it the connection ends with 1009")             \
    X(MAX_FRAGMENTS, "max_fragments", WSI_SCOPE_CONNS,                                   \
      COUNT, 1024, 1, WSI_LOTS, 1, "off",                                                \
      "Fragments of an incoming message; above it the connection ends with 1008")        \
    X(MAX_MESSAGE_RATE, "max_message_rate", WSI_SCOPE_CONNS,                             \
      COUNT, 0, 1, WSI_LOTS, 1, "off",                                                   \
      "Incoming messages a second; above it the connection ends with 1008")              \
    X(MAX_BYTE_RATE, "max_byte_rate", WSI_SCOPE_CONNS,                                   \
      BYTES, 0, 1, WSI_TIB, 1, "off",                                                    \
      "Incoming bytes a second; above it the connection ends with 1008")                 \
    X(IDLE_TIMEOUT, "idle_timeout", WSI_SCOPE_CONNS,                                     \
      MS, 60 * WSI_SECOND, 1, WSI_DAY, 1, "off",                                         \
      "A connection from which nothing came for so long ends")                           \
    X(PING_INTERVAL, "ping_interval", WSI_SCOPE_CONNS,                                   \
      MS, 25 * WSI_SECOND, 1, WSI_DAY, 1, "off",                                         \
      "A ping is sent when nothing came for so long")                                    \
    X(PONG_TIMEOUT, "pong_timeout", WSI_SCOPE_CONNS,                                     \
      MS, 20 * WSI_SECOND, 1, WSI_DAY, 1, "off",                                         \
      "A connection from which nothing came for so long after a ping is dead")                                    \
    X(CLOSE_TIMEOUT, "close_timeout", WSI_SCOPE_CONNS,                                   \
      MS, 5 * WSI_SECOND, 1, WSI_DAY, 1, "",                                             \
      "Time that the closing handshake may take before the connection is cut off")       \
    X(WRITE_TIMEOUT, "write_timeout", WSI_SCOPE_CONNS,                                   \
      MS, 30 * WSI_SECOND, 1, WSI_DAY, 1, "off",                                         \
      "A connection that takes nothing of what waits for it for so long is cut off")     \
    X(MAX_BACKLOG_BYTES, "max_backlog_bytes", WSI_SCOPE_CONNS,                           \
      BYTES, WSI_MIB, 1, WSI_TIB, 1, "",                                                 \
      "Bytes waiting to be sent at which a send answers WSOCK_EAGAIN")                   \
    X(CONN_QUEUE_MESSAGES, "conn_queue_messages", WSI_SCOPE_CONNS,                       \
      COUNT, 128, 1, WSI_LOTS, 1, "",                                                    \
      "Messages of one connection that may wait in a queue before it is not read")       \
    X(CONN_QUEUE_BYTES, "conn_queue_bytes", WSI_SCOPE_CONNS,                             \
      BYTES, 256 * WSI_KIB, 1, WSI_TIB, 1, "",                                           \
      "Bytes of messages of one connection that may wait in a queue before it is not "   \
      "read")                                                                            \
    X(PAUSE_READ_WHEN_BACKLOGGED, "pause_read_when_backlogged", WSI_SCOPE_CONNS,         \
      BOOL, 1, 0, 1, 1, "",                                                              \
      "Read nothing from a connection while its backlog is full; its peer has to go "    \
      "on reading then, or neither goes on")                                             \
    X(MAX_ROOMS_PER_CONNECTION, "max_rooms_per_connection", WSI_SCOPE_CONNS,             \
      COUNT, 100, 1, WSI_LOTS, 1, "off",                                                 \
      "Rooms that a connection may be in at one time")                                   \
    X(COMPRESSION, "compression", WSI_SCOPE_CONNS,                                       \
      CHOICE, 0, 0, 2, 1, "off|shared|dedicated",                                        \
      "permessage-deflate (RFC 7692) for new connections; shared: messages are "         \
      "compressed one by one; dedicated: each connection has contexts of its own")       \
    X(COMPRESSION_LEVEL, "compression_level", WSI_SCOPE_CONNS,                           \
      COUNT, 6, 1, 9, 1, "",                                                             \
      "1 is the fastest, 9 the smallest")                                                \
    X(COMPRESSION_MEMORY_LEVEL, "compression_memory_level", WSI_SCOPE_CONNS,             \
      COUNT, 0, 1, 9, 1, "auto",                                                         \
      "Memory of a compressor: 2 to the power of this, times 512 bytes; auto: 8 when "   \
      "shared, 5 when dedicated")                                                        \
    X(COMPRESSION_WINDOW_BITS, "compression_window_bits", WSI_SCOPE_CONNS,               \
      COUNT, 0, 8, 15, 1, "auto",                                                        \
      "How far what is sent refers back: 2 to the power of this; a compressor takes 4 "  \
      "times that; auto: 15 when shared, 12 when dedicated")                             \
    X(COMPRESSION_PEER_WINDOW_BITS, "compression_peer_window_bits", WSI_SCOPE_CONNS,     \
      COUNT, 0, 8, 15, 1, "auto",                                                        \
      "The same for what the peer sends, which is what we keep of it; auto: 15 when "    \
      "shared, 12 when dedicated")                                                       \
    X(COMPRESSION_MIN_BYTES, "compression_min_bytes", WSI_SCOPE_CONNS,                   \
      BYTES, 256, 0, WSI_TIB, 1, "",                                                     \
      "Smaller messages are not compressed")                                             \
    X(PERSISTENT, "persistent", WSI_SCOPE_ROOMS,                                         \
      BOOL, 0, 0, 1, 1, "",                                                              \
      "The room stays until the server ends, also when it is empty and nobody holds it") \
    X(MAX_MEMBERS, "max_members", WSI_SCOPE_ROOMS,                                       \
      COUNT, 0, 1, WSI_LOTS, 1, "off",                                                   \
      "Connections that may be in the room at one time")                                 \
    X(SLOW_MEMBERS, "slow_members", WSI_SCOPE_ROOMS,                                     \
      CHOICE, 0, 0, 3, 1, "drop_newest|drop_oldest|latest_only|close",                   \
      "What happens where more messages would wait for a member than may: they, or the " \
      "oldest, are dropped; of those with one key only the latest waits; it is closed "  \
      "with 1013")                                                                       \
    X(SLOW_QUEUE_MESSAGES, "slow_queue_messages", WSI_SCOPE_ROOMS,                       \
      COUNT, 4096, 1, WSI_LOTS, 1, "",                                                   \
      "Messages of the room that may wait for a member")                                 \
    X(SLOW_QUEUE_BYTES, "slow_queue_bytes", WSI_SCOPE_ROOMS,                             \
      BYTES, WSI_MIB, 1, WSI_TIB, 1, "",                                                 \
      "Bytes of them; those of all its rooms together also have to stay below "          \
      "max_backlog_bytes of the connection")                                             \
    X(MAX_INFO_BYTES, "max_info_bytes", WSI_SCOPE_ROOMS,                                 \
      BYTES, 4 * WSI_KIB, 1, WSI_MIB, 1, "",                                             \
      "What a member may say of itself when it joins")                                   \
    X(MAX_PUBLISH_RATE, "max_publish_rate", WSI_SCOPE_ROOMS,                             \
      COUNT, 0, 1, WSI_LOTS, 1, "off",                                                   \
      "Messages a second of one member, where the application asks "                     \
      "wsock_room_may_publish(), and of members that speak rooms.v1")                    \
    X(PRESENCE, "presence", WSI_SCOPE_ROOMS,                                             \
      BOOL, 1, 0, 1, 1, "",                                                              \
      "Members that speak rooms.v1 are told who comes and goes")                         \
    X(MEMBERS_LISTED, "members_listed", WSI_SCOPE_ROOMS,                                 \
      COUNT, 100, 0, WSI_LOTS, 1, "",                                                    \
      "They are told the names where there are no more people than this, and else how "  \
      "many there are")                                                                  \
    X(HISTORY_MESSAGES, "history_messages", WSI_SCOPE_ROOMS,                             \
      COUNT, 0, 1, WSI_LOTS, 1, "off",                                                   \
      "The room keeps so many of its last messages")                                     \
    X(HISTORY_TIME, "history_time", WSI_SCOPE_ROOMS,                                     \
      MS, 0, 1, 30 * WSI_DAY, 1, "off",                                                  \
      "The room keeps its messages for so long")                                         \
    X(HISTORY_BYTES, "history_bytes", WSI_SCOPE_ROOMS,                                   \
      BYTES, 0, 1, WSI_TIB, 1, "off",                                                    \
      "The room keeps so many bytes of its last messages, with some 300 for each")
/* clang-format on */

/*
 * X(ID, default): where a client's default is another.
 *
 * Of two ends that read nothing while their backlogs are full neither goes on once both
 * are. A server answers what it is sent and has to be bounded; a client sends by itself,
 * and is bounded by WSOCK_EAGAIN.
 */
#define WSI_OPTION_CLIENT_DEFAULT_MAP(X) X(PAUSE_READ_WHEN_BACKLOGGED, 0)

#define WSI_OPTION_ID_(id, name, scope, type, def, min, max, live, words, text) \
    WSI_OPT_##id,
enum wsi_option_id { WSI_OPTION_MAP(WSI_OPTION_ID_) WSI_OPT_COUNT };
#undef WSI_OPTION_ID_

/* Those of rooms are the last of the table, and numbers: a room keeps nothing else. */
enum {
    WSI_ROOM_OPTION_FIRST = WSI_OPT_PERSISTENT,
    WSI_ROOM_OPTION_COUNT = WSI_OPT_COUNT - WSI_ROOM_OPTION_FIRST,
};

#define WSI_OPTION_IS_TEXT_(id, name, scope, type, def, min, max, live, words, text) \
    /* NOLINTNEXTLINE(bugprone-macro-parentheses): a term of a sum. */                   \
    +(WSOCK_OPTION_##type == WSOCK_OPTION_STRING)
enum { WSI_OPTION_TEXTS = 0 WSI_OPTION_MAP(WSI_OPTION_IS_TEXT_) };
#undef WSI_OPTION_IS_TEXT_

/* Room for any sentence that a failing call below writes. */
enum { WSI_OPTION_WHY_SIZE = 256 };

/** Judges a string option that has a grammar. @param error (out) the part of the value
 *  that is malformed. @return 0, or a code and *error. */
typedef int wsi_option_check_fn(enum wsi_option_id id, const char *value,
                                struct wsi_list_error *error);

struct wsi_options {
    unsigned scope;             /* one of WSOCK_SCOPE_* */
    wsi_option_check_fn *check; /* (nullable) */
    bool is_explicit[WSI_OPT_COUNT];       /* set on this object, so not inherited */
    _Atomic int64_t number[WSI_OPT_COUNT]; /* a limit that is off: INT64_MAX */
    char *text[WSI_OPTION_TEXTS];          /* of string options; NULL: "" */
};

/** One relaxed load. A limit that is off is INT64_MAX, so that `value > limit` needs no
 *  special case; a timeout that is off has to be looked at by its user. */
static inline int64_t wsi_option(const struct wsi_options *options, enum wsi_option_id id)
{
    return atomic_load_explicit(&options->number[id], memory_order_relaxed);
}

static inline bool wsi_option_is_off(int64_t number)
{
    return number == INT64_MAX;
}

/** A string option; never NULL. @return (borrowed until it is set again) */
const char *wsi_option_text(const struct wsi_options *options, enum wsi_option_id id);

/** All defaults. @param scope one of WSOCK_SCOPE_*: what this object is. */
void wsi_options_init(struct wsi_options *options, unsigned scope);
void wsi_options_fini(struct wsi_options *options);

/**
 * Set from text ("1MiB", "10s", "off"). On failure nothing changes.
 *
 * @param started the object runs: options that are not live answer WSOCK_EBUSY.
 * @param why     (out, nullable) on failure one sentence that names the option, the value
 * and what is allowed; cut to why_size, WSI_OPTION_WHY_SIZE is enough.
 * @return 0; WSOCK_EOPTION for an unknown name or one of another scope; WSOCK_EINVAL for
 * a malformed value or NULL; WSOCK_ERANGE; WSOCK_EBUSY; WSOCK_ENOMEM; what options->check
 * answers.
 */
int wsi_options_set(struct wsi_options *options, const char *name, const char *value,
                    bool started, char *why, size_t why_size);

/** Set from a number in the option's unit; 0 turns off what can be off. WSOCK_EINVAL for
 * a string option. Else as wsi_options_set(). */
int wsi_options_set_number(struct wsi_options *options, const char *name, int64_t value,
                           bool started, char *why, size_t why_size);

/** @param out (out) in the option's unit; 0 for what is off. @return 0; WSOCK_EOPTION for
 * no such option here, or one that is text. */
int wsi_options_get_number(const struct wsi_options *options, int64_t *out,
                           const char *name, char *why, size_t why_size);

/** Any option as text, as wsi_options_set() takes it: "1 MiB", "60 s", "off".
 *  @return its length; WSOCK_EOPTION; WSOCK_ETOOBIG; WSOCK_EINVAL. */
int wsi_options_get_text(const struct wsi_options *options, char *out, size_t size,
                         const char *name, char *why, size_t why_size);

/** Take over the parent's value of every option that both have and the child did not set
 *  itself. Call it when the child is made and whenever the parent changed. */
void wsi_options_inherit(struct wsi_options *child, const struct wsi_options *parent);

/** A value of an option as text; `number` as wsi_option() or a public call gives it.
 *  @return its length, as snprintf() counts. Not for string options. */
int wsi_option_format(char *out, size_t size, enum wsi_option_id id, int64_t number);

#endif
