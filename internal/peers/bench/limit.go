package main

import (
	"io"
	"net"
)

// limit is no client: it moves the same bytes, encoded beforehand, in as few calls as can be.
var limit = contestant{
	name:    "limit",
	connect: connectRaw,
	idle: func(j *job) (func(), error) {
		conn, err := j.dial()
		if err != nil {
			return nil, err
		}
		if _, err := conn.Write(rawConnect); err != nil {
			return nil, err
		}
		go func() {
			var b [64]byte
			for {
				if _, err := conn.Read(b[:]); err != nil {
					return
				}
			}
		}()
		return func() { conn.Close() }, nil
	},
	codec: limitCodec,
}

var rawConnect = []byte{typeConnect, 17, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 5, 'l', 'i', 'm', 'i', 't'}

type raw struct {
	conn    net.Conn
	job     *job
	ring    *ring
	burst   []byte
	bursts  int    // messages in burst
	in, out []byte // in is what reads go to; out is what is gathered for one write
	n       int    // bytes in in
}

func connectRaw(j *job) (client, error) {
	conn, err := j.dial()
	if err != nil {
		return nil, err
	}
	r := &raw{conn: conn, job: j, in: make([]byte, 64<<10)}
	if j.QoS == 0 {
		r.burst, r.bursts = burst(j.payload())
	} else {
		r.ring = newRing(j.QoS, j.Window, j.payload())
	}
	if _, err := conn.Write(rawConnect); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(conn, r.in[:4]); err != nil {
		return nil, err
	}
	if j.What == "receive" {
		filter := j.filter()
		b := []byte{typeSubscribe | 2, byte(5 + len(filter)), 0, 1, 0, byte(len(filter))}
		b = append(append(b, filter...), j.QoS)
		if _, err := conn.Write(b); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(conn, r.in[:5]); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *raw) close() { r.conn.Close() }

func (r *raw) publish(n int) error {
	if r.job.QoS == 0 {
		for n > 0 {
			some := min(n, r.bursts)
			if _, err := r.conn.Write(r.burst[:len(r.burst)/r.bursts*some]); err != nil {
				return err
			}
			n -= some
		}
		if _, err := r.conn.Write(appendPublish(nil, 1, 1, nil)); err != nil {
			return err
		}
		_, err := io.ReadFull(r.conn, r.in[:4])
		return err
	}
	inflight := min(n, r.job.Window)
	if _, err := r.conn.Write(r.ring.next(inflight)); err != nil {
		return err
	}
	for more := n - inflight; inflight > 0; {
		got, err := r.conn.Read(r.in[r.n:])
		if err != nil {
			return err
		}
		r.n += got
		done, at := 0, 0
		r.out = r.out[:0]
		for ; r.n-at >= 4; at += 4 {
			switch r.in[at] {
			case typePubrec:
				r.out = append(r.out, typePubrel|2, 2, r.in[at+2], r.in[at+3])
			case typePuback, typePubcomp:
				done++
			default:
				return errWire
			}
		}
		r.n = copy(r.in, r.in[at:r.n])
		next := min(more, done)
		more -= next
		inflight += next - done
		b := r.ring.next(next)
		if len(r.out) > 0 {
			r.out = append(r.out, b...)
			b = r.out
		}
		if len(b) > 0 {
			if _, err := r.conn.Write(b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *raw) receive(n int) error {
	if r.job.QoS == 0 {
		size := len(r.burst) / r.bursts
		for r.n < n*size {
			got, err := r.conn.Read(r.in)
			if err != nil {
				return err
			}
			r.n += got
		}
		r.n -= n * size
		return nil
	}
	for n > 0 {
		at := 0
		r.out = r.out[:0]
		for {
			first, body, end := cut(r.in[at:r.n])
			if end == 0 {
				break
			}
			switch b := r.in[at+body:]; first & 0xF0 {
			case typePublish:
				hi, lo := publishID(b)
				r.out = append(r.out, typePuback+(r.job.QoS-1)<<4, 2, hi, lo)
				n--
			case typePubrel:
				r.out = append(r.out, typePubcomp, 2, b[0], b[1])
			default:
				return errWire
			}
			at += end
		}
		r.n = copy(r.in, r.in[at:r.n])
		if len(r.out) > 0 {
			if _, err := r.conn.Write(r.out); err != nil {
				return err
			}
		}
		if n <= 0 {
			return nil
		}
		got, err := r.conn.Read(r.in[r.n:])
		if err != nil {
			return err
		}
		r.n += got
	}
	return nil
}
