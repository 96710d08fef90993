"""Prints each line that it is sent, in the order in which they come."""

import socketserver


class Lines(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        line = self.rfile.readline().decode()
        if line:
            print(line, end="", flush=True)
            self.wfile.write(b"\n")


class Server(socketserver.ThreadingTCPServer):
    request_queue_size = 256


Server(("", 9000), Lines).serve_forever()
