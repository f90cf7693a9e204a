---@meta wsock
-- SPDX-License-Identifier: MIT
-- Annotations for editors (LuaCATS); docs/lua.md tells more.

---@class wsock
---@field version string
---@field on_error fun(err: any, conn: wsock.Conn?, traceback: string)?
---@field on_log fun(level: wsock.Level, subject: string, text: string)?
---@field [string] integer constants of the C headers without WSOCK_
local wsock = {}

---@alias wsock.Level "error"|"warn"|"info"|"debug"

---@class wsock.CloseInfo
---@field code integer
---@field reason string
---@field detail string
---@field cause integer
---@field cause_text string
---@field began integer
---@field opened boolean
---@field http_status integer
---@field errno integer
---@field tls_error integer
---@field tls_alert integer

---@class wsock.StateInfo
---@field state integer
---@field attempt integer
---@field delay number
---@field why wsock.CloseInfo?

---@class wsock.Codec
---@field encode fun(value: any): string
---@field decode fun(data: string): any

---@class wsock.Accept
---@field identity string?
---@field info any
---@field subprotocol string?
---@field headers table<string, string>?

---@class wsock.Handlers
---@field on_open fun(conn: wsock.Conn)?
---@field on_message fun(conn: wsock.Conn, data: any, binary: boolean)?
---@field on_part fun(conn: wsock.Conn, data: string, binary: boolean, first: boolean, last: boolean)?
---@field on_drain fun(conn: wsock.Conn)?
---@field on_pong fun(conn: wsock.Conn, data: string)?
---@field on_close fun(conn: wsock.Conn, code: integer, reason: string, info: wsock.CloseInfo)?
---@field binary boolean?
---@field codec wsock.Codec?
---@field [string] any options of the library

---@class wsock.EndpointOptions: wsock.Handlers
---@field on_request (fun(req: wsock.Request): boolean|wsock.Accept|nil, integer?, string?)?
---@field on_request_cancelled fun(req: wsock.Request)?
---@field rooms wsock.RoomsHooks? the endpoint serves rooms to pages

---@alias wsock.AskHook fun(ask: wsock.Ask): any, string?, string?, boolean?

---@class wsock.RoomsHooks
---@field on_hello wsock.AskHook? also of refresh
---@field on_join wsock.AskHook?
---@field on_publish wsock.AskHook? also of direct messages
---@field on_call wsock.AskHook?

---@class wsock.AskAnswer
---@field identity string? of a hello
---@field info any of a hello or join: JSON, or what the codec makes that of
---@field expires_in number? of a hello: seconds
---@field data any of a message: what is said instead
---@field binary boolean? data is bytes
---@field json boolean? data is a text that is JSON

---@class wsock.Ask
---@field kind "hello"|"refresh"|"join"|"publish"|"direct"|"call"
---@field conn wsock.Conn
---@field room string?
---@field name string?
---@field token string?
---@field event string?
---@field key string?
---@field data any
---@field json boolean
---@field binary boolean
local Ask = {}

---@param options wsock.AskAnswer?
---@return true? ok, string? message, integer? code
function Ask:accept(options) end

---@param code string?
---@param text string?
---@param retry boolean?
---@return true? ok, string? message, integer? code
function Ask:refuse(code, text, retry) end

---@param value any JSON, or what the codec makes that of
---@return true? ok, string? message, integer? code
function Ask:reply(value) end

---@return true
function Ask:defer() end

---@class wsock.ServerOptions
---@field listen string|string[]|nil
---@field endpoints table<string, wsock.EndpointOptions>?
---@field on_http fun(req: wsock.Request)?
---@field on_cluster fun(state: "away"|"up", why: string)?
---@field on_error fun(err: any, conn: wsock.Conn?, traceback: string)?
---@field on_stopped fun(server: wsock.Server)?
---@field [string] any options of the library

---@class wsock.ClientOptions: wsock.Handlers
---@field url string
---@field headers table<string, string>?
---@field subprotocols string[]?
---@field on_state fun(client: wsock.Client, state: wsock.State, info: wsock.StateInfo)?
---@field on_error fun(err: any, conn: wsock.Conn?, traceback: string)?

---@alias wsock.State "connecting"|"open"|"waiting"|"closed"

---@param options wsock.ServerOptions
---@return wsock.Server? server, string? message, integer? code
function wsock.server(options) end

---@param options wsock.ClientOptions
---@return wsock.Client? client, string? message, integer? code
function wsock.client(options) end

---@param options wsock.ClientOptions
---@return wsock.Conn? conn, string? message, integer? code
function wsock.connect(options) end

---@param milliseconds number
---@param max_events integer?
---@return integer? events, number|string late, integer? code
function wsock.tick(milliseconds, max_events) end

---@param moment number of now()
---@param max_events integer?
---@return integer? events, number|string late, integer? code
function wsock.tick_until(moment, max_events) end

---@param max_events integer?
---@return integer? events, string? message, integer? code
function wsock.poll(max_events) end

---@param seconds number?
---@return integer? events, string? message, integer? code
function wsock.wait(seconds) end

---@return true? ok, string? message, integer? code
function wsock.loop() end

function wsock.stop() end

---@param seconds number?
---@return true? ok, string? message, integer? code
function wsock.close(seconds) end

---@return number seconds
function wsock.now() end

---@param seconds number
---@param fn fun(timer: wsock.Timer, missed: integer)
---@return wsock.Timer? timer, string? message, integer? code
function wsock.after(seconds, fn) end

---@param seconds number
---@param fn fun(timer: wsock.Timer, missed: integer)
---@return wsock.Timer? timer, string? message, integer? code
function wsock.every(seconds, fn) end

---@param fn fun(...)
---@return true? ok, string? message, integer? code
function wsock.call(fn, ...) end

---@class wsock.MessageOptions
---@field binary boolean?
---@field uncompressed boolean?

---@class wsock.Message
---@field data string
---@field binary boolean
---@field uncompressed boolean

---@param data string
---@param options wsock.MessageOptions?
---@return wsock.Message? message, string? text, integer? code
function wsock.message(data, options) end

---@class wsock.JWTKeyOptions
---@field key string a secret, or a public key or certificate in PEM
---@field algorithm "HS256"|"RS256"|nil

---@class wsock.JWTRules
---@field audience string?
---@field issuer string?
---@field leeway number? seconds
---@field now number? seconds since 1970

---@class wsock.JWT
---@field subject string?
---@field expires number? seconds since 1970
---@field claims string JSON
---@field info string? JSON
local JWT = {}

---@param room string
---@return boolean
function JWT:may_join(room) end

---@param room string
---@return boolean
function JWT:may_publish(room) end

---@return boolean
function JWT:may_direct() end

---@class wsock.JWTKey
local JWTKey = {}

---@param token string
---@param rules wsock.JWTRules?
---@return wsock.JWT? token, string? message, integer? code, integer? why
function JWTKey:verify(token, rules) end

---@param options wsock.JWTKeyOptions
---@return wsock.JWTKey? key, string? message, integer? code
function wsock.jwt_key(options) end

---@param seconds number
---@return true? ok, string? message, integer? code
function wsock.sleep(seconds) end

---@param co thread
---@return boolean ok, any err
function wsock.resume(co, ...) end

---@param name string
---@param value string|number|boolean
---@return true? ok, string? message, integer? code
function wsock.set(name, value) end

---@return integer
function wsock.fd() end

---@return boolean wait
function wsock.arm() end

---@param given string?
---@param secret string?
---@return boolean
function wsock.secret_equal(given, secret) end

---@param code integer
---@return string
function wsock.strerror(code) end

---@param code integer
---@return string?
function wsock.error_name(code) end

---@param cause integer
---@return string
function wsock.cause_text(cause) end

---@class wsock.Timer
---@field conn wsock.Conn? whose timer it is
local Timer = {}
function Timer:cancel() end

---@class wsock.Endpoint
---@field pattern string
---@field server wsock.Server
local Endpoint = {}

---@param name string
---@param value string|number|boolean
---@return true? ok, string? message, integer? code
function Endpoint:set(name, value) end

---@class wsock.Server
---@field urls string[]
---@field url string?
---@field conns wsock.Conn[]
---@field conn_count integer
---@field stopped boolean
---@field tick fun(self, milliseconds: number, max_events: integer?): integer?, number|string, integer?
---@field tick_until fun(self, moment: number, max_events: integer?): integer?, number|string, integer?
---@field poll fun(self, max_events: integer?): integer?, string?, integer?
---@field after fun(self, seconds: number, fn: function): wsock.Timer?
---@field every fun(self, seconds: number, fn: function): wsock.Timer?
---@field call fun(self, fn: function, ...): true?
local Server = {}

---@param pattern string
---@param options wsock.EndpointOptions
---@return wsock.Endpoint? endpoint, string? message, integer? code
function Server:endpoint(pattern, options) end

---@param url string
---@return true? ok, string? message, integer? code
function Server:listen(url) end

---@param url string
---@return true? ok, string? message, integer? code
function Server:unlisten(url) end

---@class wsock.RoomHandleOptions
---@field codec wsock.Codec?
---@field binary boolean? whether what the room sends is binary

---@class wsock.RoomOptions: wsock.RoomHandleOptions
---@field history integer? short for history_messages
---@field [string] any options of the library

---@param name string
---@param options wsock.RoomOptions?
---@return wsock.Room? room, string? message, integer? code
function Server:room(name, options) end

---@param pattern string
---@param options table<string, any>
---@return true? ok, string? message, integer? code
function Server:room_defaults(pattern, options) end

---@param conn wsock.Conn
---@param pattern string
---@return boolean? changed, string? message, integer? code
function Server:subscribe(conn, pattern) end

---@param conn wsock.Conn
---@param pattern string
---@return boolean? changed, string? message, integer? code
function Server:unsubscribe(conn, pattern) end

---@param identity string
---@param data string|wsock.Message
---@return integer? connections, string? message, integer? code
function Server:send_to(identity, data) end

---@param identity string
---@param code integer?
---@param reason string?
---@return integer? connections, string? message, integer? code
function Server:disconnect(identity, code, reason) end

---@param identity string
---@return wsock.Conn[]
function Server:conns_of(identity) end

---@param name string
---@param options wsock.RoomHandleOptions?
---@return wsock.Room? room, string? message, integer? code
function Server:find_room(name, options) end

---@param handler fun(req: wsock.Request)
---@return true? ok, string? message, integer? code
function Server:on_http(handler) end

function Server:stop() end

---@return true? ok, string? message, integer? code
function Server:loop() end

---@param seconds number
---@param reconnect boolean?
---@return true? ok, string? message, integer? code
function Server:away(seconds, reconnect) end

---@class wsock.Node
---@field id string
---@field name string
---@field count integer connections
---@field is_self boolean

---@return "none"|"away"|"up"|nil state, string why, integer? code
function Server:cluster() end

---@param handler fun(state: "away"|"up", why: string)?
---@return true? ok, string? message, integer? code
function Server:on_cluster(handler) end

---@param fn (fun(nodes: wsock.Node[]?, message: string?, code: integer?))?
---@return wsock.Node[]|true|nil nodes, string? message, integer? code
function Server:nodes(fn) end

---@param pattern string?
---@return wsock.Room[]? rooms, string? message, integer? code
function Server:rooms(pattern) end

---@return true? ok, string? message, integer? code
function Server:reload() end

---@param name string
---@param value string|number|boolean
---@return true? ok, string? message, integer? code
function Server:set(name, value) end

---@param name string
---@return string? value, string? message, integer? code
function Server:get(name) end

---@class wsock.Fields: table<string, string>
---@field get_all fun(self, name: string): string[]

---@class wsock.Request
---@field path string
---@field path_only string
---@field params wsock.Fields
---@field query wsock.Fields
---@field headers wsock.Fields
---@field cookies wsock.Fields
---@field method string
---@field host string
---@field secure boolean
---@field upgrade boolean
---@field remote_address string
---@field peer_address string
---@field authorization string?
---@field user string?
---@field password string?
---@field body string
---@field token string?
---@field subprotocols string[]
---@field tls table<string, string>?
local Request = {}

---@param subprotocol string
---@return boolean
function Request:offers(subprotocol) end

---@param options wsock.Accept?
---@return true? ok, string? message, integer? code
function Request:accept(options) end

---@param status integer?
---@param text string?
---@return true? ok, string? message, integer? code
function Request:reject(status, text) end

---@param status integer
---@param body string?
---@param content_type string?
---@param headers table<string, string>?
---@return true? ok, string? message, integer? code
function Request:respond(status, body, content_type, headers) end

---@return true
function Request:defer() end

---@class wsock.Conn
---@field id integer
---@field data table
---@field identity string?
---@field info any
---@field params table<string, string>
---@field request wsock.Request?
---@field buffered integer
---@field is_open boolean
---@field subprotocol string
---@field extensions string
---@field remote_address string
---@field local_address string
---@field response_body string
---@field url string
---@field tls table<string, string>?
---@field rtt number?
local Conn = {}

---@param data any a string, or a message; what the codec takes where there is one
---@return true? ok, string? message, integer? code
function Conn:send(data) end

---@param data string|wsock.Message
---@return true? ok, string? message, integer? code
function Conn:send_text(data) end

---@param data string|wsock.Message
---@return true? ok, string? message, integer? code
function Conn:send_binary(data) end

---@param seconds number
---@param fn fun(conn: wsock.Conn, timer: wsock.Timer, missed: integer)
---@return wsock.Timer? timer, string? message, integer? code
function Conn:after(seconds, fn) end

---@param seconds number
---@param fn fun(conn: wsock.Conn, timer: wsock.Timer, missed: integer)
---@return wsock.Timer? timer, string? message, integer? code
function Conn:every(seconds, fn) end

---@param fn fun(conn: wsock.Conn, ...)
---@return true? ok, string? message, integer? code
function Conn:call(fn, ...) end

---@return boolean open
function Conn:drained() end

---@param binary boolean?
---@return true? ok, string? message, integer? code
function Conn:begin(binary) end

---@param data string
---@return true? ok, string? message, integer? code
function Conn:append(data) end

---@return true? ok, string? message, integer? code
function Conn:finish() end

---@param data string?
---@return true? ok, string? message, integer? code
function Conn:ping(data) end

---@param code integer?
---@param reason string?
---@return true? ok, string? message, integer? code
function Conn:close(code, reason) end

---@return true? ok, string? message, integer? code
function Conn:reset() end

---@return true? ok, string? message, integer? code
function Conn:pause() end

---@return true? ok, string? message, integer? code
function Conn:resume() end

---@param identity string
---@return true? ok, string? message, integer? code
function Conn:set_identity(identity) end

---@param name string
---@return string?
function Conn:response_header(name) end

---@class wsock.Room
---@field name string
---@field broadcast_text fun(self, data: string|wsock.Message, except: wsock.Conn?): integer?, string?, integer?
---@field broadcast_binary fun(self, data: string|wsock.Message, except: wsock.Conn?): integer?, string?, integer?
local Room = {}

---@class wsock.Position
---@field epoch string
---@field offset integer

---@class wsock.Joined
---@field recovered boolean? nil while it is not known
---@field missed integer
---@field position wsock.Position?

---@class wsock.RoomMessage
---@field data any a string, or what the room's codec makes of it
---@field binary boolean
---@field key string?
---@field time number
---@field epoch string?
---@field offset integer?
---@field prev integer
---@field event string
---@field from string? the identity that said it; nil for the application
---@field json boolean

---@class wsock.Member
---@field conn wsock.Conn?
---@field identity string?
---@field info any a string, or what the room's codec makes of it; nil without
---@field first boolean
---@field last boolean
---@field how integer
---@field reason string

---@class wsock.JoinOptions
---@field info any a string, or what the codec takes
---@field since wsock.Position?
---@field on_joined fun(conn: wsock.Conn, joined: wsock.Joined)?
---@field wait boolean?

---@param conn wsock.Conn
---@param options wsock.JoinOptions?
---@return boolean? changed, wsock.Joined|string? joined, integer? code
function Room:join(conn, options) end

---@class wsock.PublishOptions
---@field except wsock.Conn|wsock.Conn[]|string|nil who does not get it
---@field only (fun(conn: wsock.Conn): any)? which members get it
---@field key string? what it is about
---@field event string? what kind of message it is
---@field from string? the identity that says it
---@field json boolean? whether the text is JSON
---@field on_done fun(published: wsock.Published)?
---@field wait boolean?

---@param data any
---@param options wsock.PublishOptions?
---@return integer? members, wsock.Position|string? position, wsock.Published|integer? published or code
function Room:publish(data, options) end

---@param identity string
---@param data any
---@return integer? connections, string? message, integer? code
function Room:send_to(identity, data) end

---@param who wsock.Conn|string
---@param reason string?
---@return integer? connections, string? message, integer? code
function Room:kick(who, reason) end

---@param reason string?
---@return boolean? closed, string? message, integer? code
function Room:close(reason) end

---@return wsock.Position? position, string? message, integer? code
function Room:position() end

---@param limit integer?
---@param before integer?
---@return wsock.RoomMessage[]? messages, string? message, integer? code
function Room:history(limit, before) end

---@class wsock.Person
---@field identity string
---@field info any of the connection that joined last
---@field count integer how many connections

---@class wsock.Published
---@field outcome "stored"|"not stored"|"unknown"
---@field why string
---@field time number seconds since 1970
---@field position wsock.Position?

---@param fn (fun(people: wsock.Person[]?, message: string?, code: integer?))?
---@return wsock.Person[]|true|nil people, string? message, integer? code
function Room:people_everywhere(fn) end

---@return wsock.Person[]? people, string? message, integer? code
function Room:people() end

---@param conn wsock.Conn
---@return any info, string? message, integer? code
function Room:info(conn) end

---@param conn wsock.Conn
---@return boolean? may, string? message, integer? code
function Room:may_publish(conn) end

---@param conn wsock.Conn?
---@return integer? count, string? message, integer? code
function Room:dropped(conn) end

---@param name string
---@return string? value, string? message, integer? code
function Room:get(name) end

---@param handler fun(member: wsock.Member)?
---@return true? ok, string? message, integer? code
function Room:on_join(handler) end

---@param handler fun(member: wsock.Member)?
---@return true? ok, string? message, integer? code
function Room:on_leave(handler) end

---@param handler fun(message: wsock.RoomMessage)?
---@return true? ok, string? message, integer? code
function Room:on_message(handler) end

---@param conn wsock.Conn
---@return boolean? changed, string? message, integer? code
function Room:leave(conn) end

---@param data any
---@param except wsock.Conn?
---@return integer? members, string? message, integer? code
function Room:broadcast(data, except) end

---@param fn fun(conn: wsock.Conn): any
---@param data any
---@return integer? members, string? message, integer? code
function Room:broadcast_if(fn, data) end

---@return integer
function Room:count() end

---@return wsock.Conn[]
function Room:members() end

---@param codec wsock.Codec?
---@param binary boolean? whether what it sends is binary
---@return wsock.Room
function Room:with(codec, binary) end

---@class wsock.Client
---@field conn wsock.Conn?
---@field state wsock.State
local Client = {}

---@param fd? integer of a socket that is connected; the library takes a duplicate
---@return wsock.Conn? conn, string? message, integer? code
function Client:connect(fd) end

---@return true? ok, string? message, integer? code
function Client:start() end

---@param code integer?
---@param reason string?
---@return true? ok, string? message, integer? code
function Client:stop(code, reason) end

---@param data any
---@return true? ok, string? message, integer? code
function Client:send(data) end

---@param data string|wsock.Message
---@return true? ok, string? message, integer? code
function Client:send_text(data) end

---@param data string|wsock.Message
---@return true? ok, string? message, integer? code
function Client:send_binary(data) end

---@param name string
---@param value string|number|boolean
---@return true? ok, string? message, integer? code
function Client:set(name, value) end

return wsock
