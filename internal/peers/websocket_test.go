package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	mochimqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/nats-io/nats-server/v2/server"

	"iotwire/mqtt"
)

// MQTT over WebSocket (section 6 of the standard): Dial of mqtt.Config may return any stream of bytes. A library speaks
// WebSocket, and webSocketConn makes a stream of its messages. With wss:// its TLSClientConfig has the roots, and with an
// iot.Proxy, proxy.DialContext is its NetDialContext.
func Example_webSocket() {
	address, stop := startWebSocketBroker()
	defer stop()

	dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}} // [MQTT-6.0.0-3]
	client, err := mqtt.New(mqtt.Config{
		ClientID: "meter-7",
		Dial: func(ctx context.Context) (net.Conn, error) {
			conn, _, err := dialer.DialContext(ctx, "ws://"+address+"/mqtt", nil)
			if err != nil {
				return nil, err
			}
			return &webSocketConn{Conn: conn}, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	go client.Run(ctx)
	if err := client.Publish(ctx, mqtt.Message{Topic: "meter/7", Payload: []byte("42"), QoS: mqtt.QoS1}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("acknowledged")
	if err := client.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: acknowledged
}

// webSocketConn is a connection of WebSocket as a stream of bytes.
type webSocketConn struct {
	*websocket.Conn
	message io.Reader // the rest of the one that is being read, or nil
}

// Read reads on: packets and messages need not be the same [MQTT-6.0.0-2].
func (c *webSocketConn) Read(b []byte) (int, error) {
	for {
		if c.message == nil {
			kind, message, err := c.NextReader()
			if websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway, websocket.CloseNoStatusReceived) {
				return 0, io.EOF
			}
			if err != nil {
				return 0, err
			}
			if kind != websocket.BinaryMessage { // [MQTT-6.0.0-1]
				return 0, errors.New("a message of WebSocket that is not binary")
			}
			c.message = message
		}
		n, err := c.message.Read(b)
		if err == io.EOF {
			c.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// Write sends b as one message.
func (c *webSocketConn) Write(b []byte) (int, error) {
	if err := c.WriteMessage(websocket.BinaryMessage, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// SetDeadline sets the deadlines of Read and Write.
func (c *webSocketConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// Close says good-bye if the network takes it at once, and closes the connection.
func (c *webSocketConn) Close() error {
	_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(200*time.Millisecond))
	return c.Conn.Close()
}

// startWebSocketBroker starts mochi-mqtt with WebSocket.
func startWebSocketBroker() (address string, stop func()) {
	broker := mochimqtt.New(&mochimqtt.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := broker.AddHook(new(auth.AllowHook), nil); err != nil {
		log.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	address = free.Addr().String()
	free.Close()
	if err := broker.AddListener(listeners.NewWebsocket(listeners.Config{ID: "ws", Address: address})); err != nil {
		log.Fatal(err)
	}
	if err := broker.Serve(); err != nil {
		log.Fatal(err)
	}
	return address, func() { broker.Close() }
}

// TestWebSocket sends messages up to 1 MB there and back over WebSocket, to every broker here that speaks it.
func TestWebSocket(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) string{
		"mochi":     startMochiWebSocket,
		"nats":      startNATSWebSocket,
		"mosquitto": startMosquittoWebSocket,
	} {
		t.Run(name, func(t *testing.T) {
			url := start(t)
			dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}}
			client, err := mqtt.New(mqtt.Config{ClientID: "meter-7", CleanSession: true, MaxPacket: 2 << 20,
				Dial: func(ctx context.Context) (net.Conn, error) {
					conn, _, err := dialer.DialContext(ctx, url, nil)
					if err != nil {
						return nil, err
					}
					return &webSocketConn{Conn: conn}, nil
				}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			ran := make(chan error, 1)
			go func() { ran <- client.Run(ctx) }()
			s, err := client.Subscribe("a/#", mqtt.QoS1)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Ready(ctx); err != nil {
				t.Fatal(err)
			}
			sizes := []int{0, 1, 4095, 4096, 70_000, 1_000_000}
			go func() {
				for _, size := range sizes {
					if err := client.Publish(ctx, mqtt.Message{Topic: "a/b", Payload: make([]byte, size), QoS: mqtt.QoS1}); err != nil {
						t.Errorf("%d bytes: %v", size, err)
					}
				}
			}()
			got := 0
			for m, err := range s.Messages(ctx) {
				if err != nil {
					t.Fatal(err)
				}
				if len(m.Payload) != sizes[got] {
					t.Errorf("message %d has %d bytes, want %d", got, len(m.Payload), sizes[got])
				}
				if got++; got == len(sizes) {
					break
				}
			}
			if err := client.Shutdown(ctx); err != nil {
				t.Error(err)
			}
			if err := <-ran; err != nil {
				t.Error(err)
			}
		})
	}
}

func startMochiWebSocket(t *testing.T) string {
	address, stop := startWebSocketBroker()
	t.Cleanup(stop)
	return "ws://" + address
}

func startNATSWebSocket(t *testing.T) string {
	options := natsOptions(t, &broker{address: freeAddress(t)})
	address := freeAddress(t)
	tcp, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	options.Websocket.Host, options.Websocket.Port, options.Websocket.NoTLS = "127.0.0.1", tcp.Port, true
	n, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	n.Start()
	t.Cleanup(func() {
		n.Shutdown()
		n.WaitForShutdown()
	})
	awaitListener(t, address, nil)
	return "ws://" + address + "/mqtt"
}

// startMosquittoWebSocket starts mosquitto with WebSocket, which not every build of it has.
func startMosquittoWebSocket(t *testing.T) string {
	program := findProgram(t, "mosquitto")
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	config := filepath.Join(t.TempDir(), "mosquitto.conf")
	if err := os.WriteFile(config, []byte("user root\nlistener "+port+" 127.0.0.1\nprotocol websockets\nallow_anonymous true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, exec.Command(program, "-c", config))
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case <-p.ended:
			t.Skip("this build of mosquitto does not speak WebSocket: it ends with \"protocol websockets\"")
		default:
		}
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return "ws://" + address + "/mqtt"
		}
	}
	t.Fatal("mosquitto does not listen")
	return ""
}
