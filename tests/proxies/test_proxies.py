# SPDX-License-Identifier: MIT
"""`wsock serve` behind nginx and HAProxy. Each proxy is started here, on a socket that the test
has opened for it, and ended here. Clients connect from 127.0.0.5, so that nobody takes the
proxy's address for theirs."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from tool import TIMEOUT, Serve
from ws_peer import TEXT, Client

CLIENT = "127.0.0.5"
FILES = os.environ.get("CERTIFICATES", "")
STREAM_MODULE = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")

NGINX = """
{module}
daemon off;
pid {there}/nginx.pid;
error_log stderr warn;
events {{}}
"""
NGINX_HTTP = """
http {{
    access_log off;
    client_body_temp_path {there}/body;
    proxy_temp_path {there}/proxy;
    fastcgi_temp_path {there}/fastcgi;
    uwsgi_temp_path {there}/uwsgi;
    scgi_temp_path {there}/scgi;
    server {{
        listen 127.0.0.1:{port}{how};
        location / {{
            proxy_pass http://127.0.0.1:{server};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""
NGINX_STREAM = """
stream {{
    server {{
        listen 127.0.0.1:{port}{how};
        proxy_pass 127.0.0.1:{server};
        proxy_protocol on;
    }}
}}
"""
HAPROXY = """
defaults
    timeout connect 10s
    timeout client 30s
    timeout server 30s
frontend in
    mode {mode}
    bind fd@{fd} {tls}
    default_backend out
backend out
    mode {mode}
    {more}
    server wsock 127.0.0.1:{server} {how}
"""


def program(name):
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
    if path is None:
        raise AssertionError(f"{name} is not installed; scripts/install-deps test installs it")
    return path


class Proxy:
    """A proxy in front of a server, from the block's begin to its end."""

    def __init__(self, server_port):
        self.server = server_port
        self.process = None

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        # The kernel keeps connections for it until it is ready.
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.set_inheritable(True)
        self.port = self.listener.getsockname()[1]
        command, environment = self.command(pathlib.Path(self.folder.name))
        self.process = subprocess.Popen(command, env={**os.environ, **environment},
                                        pass_fds=[self.listener.fileno()],
                                        stderr=subprocess.PIPE)
        return self

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            _, said = self.process.communicate(timeout=TIMEOUT)
        finally:
            self.process.kill()
            self.listener.close()
            self.folder.cleanup()
        if kind is not None:
            print(said.decode("utf-8", "replace"))


class Nginx(Proxy):
    def __init__(self, server_port, template, tls=False):
        super().__init__(server_port)
        self.template = NGINX + template
        self.how = (f" ssl;\n        ssl_certificate {FILES}/good.pem;\n"
                    f"        ssl_certificate_key {FILES}/good.key") if tls else ""

    def command(self, there):
        module = f"load_module {STREAM_MODULE};" if STREAM_MODULE.exists() else ""
        config = there / "nginx.conf"
        config.write_text(self.template.format(module=module, there=there, port=self.port,
                                               server=self.server, how=self.how))
        # It takes over a socket whose number stands here, by its address.
        return ([program("nginx"), "-e", "stderr", "-p", str(there), "-c", str(config)],
                {"NGINX": f"{self.listener.fileno()};"})


class HAProxy(Proxy):
    def __init__(self, server_port, how, mode="tcp", more="", tls=False):
        super().__init__(server_port)
        self.how, self.mode, self.more, self.tls = how, mode, more, tls

    def command(self, there):
        config = there / "haproxy.cfg"
        both = there / "both.pem"
        if self.tls:
            both.write_text("".join(pathlib.Path(f"{FILES}/good.{kind}").read_text("ascii")
                                    for kind in ("pem", "key")))
        config.write_text(HAPROXY.format(fd=self.listener.fileno(), server=self.server,
                                         how=self.how, mode=self.mode, more=self.more,
                                         tls=f"ssl crt {both}" if self.tls else ""))
        return [program("haproxy"), "-db", "-f", str(config)], {}


class Case(unittest.TestCase):
    def assert_opened(self, serve, told):
        """The next connection that opens is told to be this client's."""
        seen = []
        while "open: /echo" not in (seen[-1:] or [""])[0]:
            seen.append(serve.error_line())
            self.assertNotEqual(seen[-1], "", "the server has ended")
        self.assertEqual(seen[-1].partition("open: /echo, ")[2], told, "\n".join(seen))

    def assert_echo(self, client):
        client.send(TEXT, "by way of a proxy")
        client.send(2, bytes(range(256)) * 1000)
        self.assertEqual(client.receive_message(), "by way of a proxy")
        self.assertEqual(client.receive_message(), bytes(range(256)) * 1000)

    def status(self, port, *headers, **more):
        with Client(port, "/echo", headers=headers, source=CLIENT, **more) as client:
            return client.status


class Behind(Case):
    def test_nginx_tells_the_client_in_a_field(self):
        with Serve("--trust-forwarded", "127.0.0.1", "--log-level", "debug") as serve:
            with Nginx(serve.port, NGINX_HTTP) as proxy:
                # What the client claims stands left of what nginx adds.
                with Client(proxy.port, "/echo", headers=["X-Forwarded-For: 198.51.100.9"],
                            source=CLIENT) as client:
                    self.assert_opened(serve, CLIENT)
                    self.assert_echo(client)
                here = f"127.0.0.1:{proxy.port}"
                self.assertEqual(self.status(proxy.port, f"Origin: http://{here}"), 101)
                self.assertEqual(self.status(proxy.port, "Origin: http://evil.example"), 403)
                # The server's own address is no page of the proxy's.
                inner = f"Origin: http://127.0.0.1:{serve.port}"
                self.assertEqual(self.status(proxy.port, inner), 403)

    def test_nginx_is_not_believed_unless_listed(self):
        with Serve("--trust-forwarded", "10.0.0.0/8", "--log-level", "debug") as serve:
            with Nginx(serve.port, NGINX_HTTP) as proxy:
                with Client(proxy.port, "/echo", source=CLIENT) as client:
                    self.assert_echo(client)
                    line = ""
                    while "open: /echo, " not in line:
                        line = serve.error_line()
                        self.assertNotEqual(line, "")
                    self.assertIn("open: /echo, 127.0.0.1:", line)

    def through_header(self, make):
        """A proxy that sends the PROXY header tells address and port."""
        with Serve("--proxy-protocol", "127.0.0.1", "--log-level", "debug") as serve:
            with make(serve.port) as proxy:
                with Client(proxy.port, "/echo", source=CLIENT) as client:
                    self.assert_opened(serve, f"{CLIENT}:{client.sock.getsockname()[1]}")
                    self.assert_echo(client)

    def test_nginx_sends_the_proxy_header_of_version_1(self):
        self.through_header(lambda port: Nginx(port, NGINX_STREAM))

    def test_haproxy_sends_the_proxy_header_of_version_1(self):
        self.through_header(lambda port: HAProxy(port, "send-proxy"))

    def test_haproxy_sends_the_proxy_header_of_version_2(self):
        self.through_header(lambda port: HAProxy(port, "send-proxy-v2"))

    def test_haproxy_sends_a_checksum(self):
        self.through_header(lambda port: HAProxy(
            port, "send-proxy-v2 proxy-v2-options crc32c,ssl,unique-id"))

    def test_haproxy_looks_whether_the_server_lives(self):
        """Its own connections have the command LOCAL."""
        with Serve("--proxy-protocol", "127.0.0.1", "--log-level", "debug") as serve:
            with HAProxy(serve.port, "send-proxy-v2 check inter 100ms", "http",
                         "option httpchk GET /echo HTTP/1.1\n    http-check expect status 400"):
                line = ""
                while "is refused with 400" not in line:
                    line = serve.error_line()
                    self.assertNotEqual(line, "")
                    self.assertNotIn("cut off", line)
                self.assertIn(" 127.0.0.1:", line)

    def test_the_walk_passes_every_proxy_that_is_listed(self):
        with Serve("--trust-forwarded", "127.0.0.1", "--log-level", "debug") as serve:
            with Nginx(serve.port, NGINX_HTTP) as inner:
                with HAProxy(inner.port, "", "http", "option forwardfor") as outer:
                    with Client(outer.port, "/echo", source=CLIENT) as client:
                        self.assert_opened(serve, CLIENT)
                        self.assert_echo(client)


if __name__ == "__main__":
    unittest.main()
