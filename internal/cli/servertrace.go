package cli

import (
	"net"

	"iotwire/mqtt/dissect"
)

// ServerTrace shows what the connections of a server carry. A nil *ServerTrace shows nothing.
type ServerTrace struct{ t *tracer }

// Server returns the trace that the options of a server with this name ask for, or nil.
func (o *TraceOptions) Server(p *Process, program string) (*ServerTrace, error) {
	if !o.shown() {
		return nil, nil
	}
	log := &console{program: program, out: p.Stderr}
	s := &ServerTrace{&tracer{recording: &recording{log: log}}}
	return s, s.t.open(o, p)
}

// Tap begins with a connection from a client, and returns what wants to be told of its bytes, on the plain side of TLS:
// those that came from the client before they are judged, those that go to it before they are written, and nil at the end.
func (s *ServerTrace) Tap(conn net.Conn) func(fromClient bool, b []byte) {
	c := s.t.begin(" from "+conn.RemoteAddr().String(), conn)
	return func(fromClient bool, b []byte) {
		switch {
		case b == nil:
			c.end()
		case fromClient:
			c.add(dissect.ToServer, b)
		default:
			c.add(dissect.ToClient, b)
		}
	}
}

// Close closes the file of the trace.
func (s *ServerTrace) Close() {
	if s != nil && s.t.file != nil {
		s.t.file.Close()
	}
}
