// Demo shows three messages on their way from publisher to subscriber, through a broker on this machine, with mutual TLS
// all the way. It needs nothing but Go, and leaves nothing behind.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"iotwire/internal/cli"
	"iotwire/internal/testbroker"
	"iotwire/mqtt/packet"
)

func main() { os.Exit(int(demo(cli.OS()))) }

// message is what the publisher sends, and what the commands for doing it by hand send.
const message = `{"message":"hello"}`

// patience bounds the wait for anything, should the machine be very slow.
const patience = "30"

// demo is the program. It returns when the three messages have arrived, or when a signal ends it.
func demo(p *cli.Process) cli.ExitCode {
	var page string
	table := &cli.Table{
		Program: "demo",
		Summary: "three messages from publisher to subscriber over mutual TLS",
		Groups: []cli.Group{{Title: "Options", Options: []cli.Option{
			{Name: "page", Metavar: "FILE", Value: &page, Help: "write a page that explains every byte, one HTML file"},
		}}},
		Notes: []string{"It starts a broker on 127.0.0.1 with fresh certificates, and cleans up."},
	}
	if code, done := table.Parse(p); done {
		return code
	}
	stage := &stage{out: p.Stdout, color: p.Colored(p.Terminal, "")}
	picture, err := illustrate(page)
	if err != nil {
		fmt.Fprintln(p.Stderr, "demo:", err)
		return cli.ExitLocal
	}
	code, err := play(p, stage, picture)
	if err == nil && picture != nil {
		err = picture.finish()
	}
	if err != nil {
		fmt.Fprintln(p.Stderr, "demo:", err)
		return cli.ExitLocal
	}
	if code != cli.ExitDone && code != cli.ExitInterrupted {
		fmt.Fprintln(p.Stderr, "demo: the messages did not arrive; the lines above say why")
	}
	if code != cli.ExitDone {
		return code
	}
	if picture != nil {
		fmt.Fprintf(p.Stdout, "\nEvery byte of it is explained in %s: open it in a browser.\n", page)
	}
	fmt.Fprintf(p.Stdout, "\nDone. The same by hand, in three terminals:\n\n%s\n", strings.Join(byHand(), "\n"))
	return cli.ExitDone
}

// byHand returns the commands with which to repeat the demonstration.
func byHand() []string {
	dir := filepath.Join(os.TempDir(), "iotwire-certs")
	if strings.ContainsAny(dir, ` '"\$&()`) {
		dir = "iotwire-certs"
	}
	return []string{
		"  go run ./cmd/testbroker --tls-port 8883 --dir " + dir,
		"  go run ./cmd/subscriber -e localhost:8883 -C " + dir,
		"  go run ./cmd/publisher -e localhost:8883 -C " + dir + " -n 3 -m '" + message + "'",
	}
}

// play runs broker, subscriber and publisher, for the picture if it is not nil. The code is that of the first program that
// failed.
func play(p *cli.Process, stage *stage, picture *illustration) (cli.ExitCode, error) {
	dir, err := os.MkdirTemp("", "iotwire-demo-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	certificates, err := testbroker.EnsureCertificates(dir)
	if err != nil {
		return 0, err
	}
	config, err := certificates.ServerConfig()
	if err != nil {
		return 0, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	subscribed := make(chan struct{}, 1)
	settings := testbroker.Config{RequireCertificate: true, Observe: func(e testbroker.Event) {
		if e.Kind == testbroker.Sent && e.Header.Type == packet.SUBACK {
			select {
			case subscribed <- struct{}{}:
			default:
			}
		}
	}}
	if picture != nil {
		settings.Tap = picture.tap
	}
	broker := testbroker.New(settings)
	defer broker.Close()
	go broker.Serve(context.Background(), tls.NewListener(l, config))
	endpoint := fmt.Sprintf("localhost:%d", l.Addr().(*net.TCPAddr).Port)
	fmt.Fprintln(stage.actor("broker"), "listening on", endpoint, "with fresh certificates")

	subscriber := start(cli.Subscriber, stage.actor("subscriber"), stage.message(),
		"-e", endpoint, "-C", dir, "--client-id", "demo-subscriber", "-n", "3", "-W", patience)
	select {
	case <-subscribed:
	case code := <-subscriber.code:
		return code, nil
	case s := <-p.Signals:
		return subscriber.stop(s), nil
	}
	publisher := start(cli.Publisher, stage.actor("publisher"), io.Discard,
		"-e", endpoint, "-C", dir, "--client-id", "demo-publisher", "-n", "3", "-i", "0.2", "-m", message)
	for _, program := range []*program{publisher, subscriber} {
		select {
		case code := <-program.code:
			if code != cli.ExitDone {
				return code, nil
			}
		case s := <-p.Signals:
			publisher.stop(s)
			subscriber.stop(s)
			return cli.ExitInterrupted, nil
		}
	}
	return cli.ExitDone, nil
}

// program is a program that runs on a goroutine of this one.
type program struct {
	signals chan os.Signal
	code    chan cli.ExitCode
}

func start(main func(*cli.Process) cli.ExitCode, stderr, stdout io.Writer, args ...string) *program {
	p := &program{make(chan os.Signal, 2), make(chan cli.ExitCode, 1)}
	go func() {
		p.code <- main(&cli.Process{
			Args:    args,
			Getenv:  func(string) string { return "" }, // the reader's own settings are for other servers
			Stdin:   strings.NewReader(""),
			Stdout:  stdout,
			Stderr:  stderr,
			Signals: p.signals,
			// A person reads it, even if not on a terminal.
			Terminal:      true,
			TerminalError: true,
		})
	}()
	return p
}

// stop ends the program as signal s does, and returns its exit code unless it takes too long.
func (p *program) stop(s os.Signal) cli.ExitCode {
	p.signals <- s
	select {
	case <-p.code:
	case <-time.After(3 * time.Second):
	}
	return cli.ExitInterrupted
}
