package cli

import (
	"context"
	"net"
	"testing"
	"testing/synctest"

	"iotwire/mqtt/packet"
)

// What kept a publisher from connecting does not explain why there is no acknowledgement once it has connected.
func TestAnEarlierRefusalIsNotBlamedForTheSilenceOfAConnection(t *testing.T) {
	store := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		silent, attempts := afterConnect(packet.PUBLISH, ignore), 0
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			if attempts++; attempts == 1 {
				return refused(ctx, network, address)
			}
			return silent(ctx, network, address)
		}
		r := run(t, Publisher, dial, nil, "--persistent", "--store", store, "-m", "x")
		if attempts != 2 {
			t.Errorf("%d attempts, want a refusal and a connection", attempts)
		}
		r.ended(ExitUnanswered, "publisher: 0 of 1 acknowledged, 1 kept for a later run: no acknowledgement for 10.0 s",
			"  is the server overloaded, or the network slow?")
	})
}

// That the server hung up on the message does explain it, also when it took the next connection and was silent on that.
func TestAConnectionThatWasLostIsBlamedForTheSilenceOfTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, Publisher, afterConnect(packet.PUBLISH, func(p *peer, _ packet.Header, _ []byte) bool { return p.number > 1 }), nil, "-m", "x")
		r.ended(ExitUnanswered,
			"publisher: 0 of 1 acknowledged, 1 sent but not acknowledged, 0 not sent: no acknowledgement for 10.0 s; connection lost: the server closed it after PUBLISH to test/commands",
			"  brokers hang up on what they do not allow; the broker's log says whether it is this")
	})
}
