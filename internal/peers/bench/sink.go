package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"iotwire/internal/testbroker"
)

// sink is the other side of every measurement, in a process and on a core of its own: it answers whatever came in one
// read by one write, and does nothing else. A subscription to "flood/QOS/SIZE/WINDOW" gives as many messages as the
// client takes.
func sink(dir string) error {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	certificates, err := testbroker.EnsureCertificates(dir)
	if err != nil {
		return err
	}
	config, err := certificates.ServerConfig()
	if err != nil {
		return err
	}
	secret, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return err
	}
	for _, l := range []net.Listener{plain, secret} {
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go serve(conn)
			}
		}()
	}
	json.NewEncoder(os.Stdout).Encode(server{TCP: plain.Addr().String(), TLS: secret.Addr().String(), Certificates: dir})
	io.Copy(io.Discard, os.Stdin) // until the parent closes it, or dies
	return nil
}

func serve(conn net.Conn) {
	defer conn.Close()
	var (
		in    = make([]byte, 2<<10) // small for an idle client
		out   []byte
		n     int   // bytes in in
		flood *ring // what is sent to a subscriber at QoS 1 and 2
	)
	for {
		got, err := conn.Read(in[n:])
		if err != nil {
			return
		}
		n += got
		at, room := 0, 0
		for {
			first, body, end := cut(in[at:n])
			if end == 0 {
				break
			}
			b := in[at+body : at+end]
			at += end
			switch first & 0xF0 {
			case typeConnect:
				out = append(out, 0x20, 2, 0, 0)
			case typePublish:
				if qos := first >> 1 & 3; qos > 0 {
					hi, lo := publishID(b)
					out = append(out, typePuback+(qos-1)<<4, 2, hi, lo)
				}
			case typePubrel:
				out = append(out, typePubcomp, 2, b[0], b[1])
			case typePuback, typePubcomp:
				room++
			case typePubrec:
				out = append(out, typePubrel|2, 2, b[0], b[1])
			case typeSubscribe:
				filter := string(b[4 : len(b)-1])
				out = append(out, 0x90, 3, b[0], b[1], b[len(b)-1])
				var qos byte
				var size, window int
				if _, err := fmt.Sscanf(strings.ReplaceAll(filter, "/", " "), "flood %d %d %d", &qos, &size, &window); err != nil {
					break
				}
				payload := (&job{Size: size}).payload()
				if qos == 0 {
					conn.Write(out)
					out = out[:0]
					go func() {
						b, _ := burst(payload)
						for {
							if _, err := conn.Write(b); err != nil {
								return
							}
						}
					}()
					break
				}
				flood, room = newRing(qos, window, payload), window
			case typePingreq:
				out = append(out, 0xD0, 0)
			case typeDisconnect:
				return
			default:
				return
			}
		}
		if flood != nil && room > 0 {
			out = append(out, flood.next(room)...)
		}
		if len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
		n = copy(in, in[at:n])
		if got > len(in)/2 && len(in) < 256<<10 || n == len(in) {
			in = append(in, make([]byte, 3*len(in))...)
		}
	}
}
