package peers

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// browser is a tab of a headless Chromium, spoken to by its DevTools protocol.
type browser struct {
	t       *testing.T
	conn    *websocket.Conn
	session string

	mu      sync.Mutex
	last    int                            // number of a command
	answers map[int]chan json.RawMessage   // by the number of the command
	events  map[string]chan struct{}       // of which something waits
	seen    map[string][]map[string]string // what is wanted of events, by their name: urls, texts
}

// browserPatience is patience with Chromium: to start it has to read 200 MB, perhaps from a disk that is busy.
const browserPatience = 90 * time.Second

// startBrowser starts Chromium with a profile of its own, which asks nothing of the network, and opens a tab.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	cmd := exec.Command(tool(t, "chromium", "chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--user-data-dir="+newProfile(t), "--remote-debugging-port=0", "about:blank")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	process := startProcess(t, cmd)
	said := newJournal(t, "chromium")
	address := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			said.Write(append(lines.Bytes(), '\n'))
			if _, url, found := strings.Cut(lines.Text(), "DevTools listening on "); found {
				address <- url
			}
		}
	}()
	b := &browser{t: t, answers: map[int]chan json.RawMessage{}, events: map[string]chan struct{}{}, seen: map[string][]map[string]string{}}
	select {
	case url := <-address:
		if b.conn, _, err = websocket.DefaultDialer.Dial(url, nil); err != nil {
			t.Fatal(err)
		}
	case <-process.ended:
		t.Fatalf("chromium has ended: %v", process.err)
	case <-time.After(browserPatience):
		t.Fatalf("chromium does not say within %v where it listens", browserPatience)
	}
	t.Cleanup(func() { b.conn.Close() })
	go b.read()
	var target struct{ TargetID string }
	b.do("Target.createTarget", &target, "url", "about:blank")
	var attached struct{ SessionID string }
	b.do("Target.attachToTarget", &attached, "targetId", target.TargetID, "flatten", true)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Network", "Runtime", "Log"} {
		b.do(domain+".enable", nil)
	}
	return b
}

// newProfile makes a directory for Chromium. Its processes end one after the other, and write into it until they have.
func newProfile(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "chromium")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := os.RemoveAll(dir)
		for until := time.Now().Add(patience); err != nil && time.Now().Before(until); err = os.RemoveAll(dir) {
			time.Sleep(50 * time.Millisecond)
		}
		if err != nil {
			t.Error(err)
		}
	})
	return dir
}

// run runs a part of a test.
func (b *browser) run(name string, test func(t *testing.T)) {
	whole := b.t
	defer func() { b.t = whole }()
	whole.Run(name, func(t *testing.T) {
		b.t = t
		test(t)
	})
}

// read hands out answers and collects events.
func (b *browser) read() {
	for {
		var m struct {
			ID            int
			Method        string
			Result, Error json.RawMessage
			Params        struct {
				Request          struct{ URL string }
				Entry            struct{ Text string }
				ExceptionDetails struct{ Text string }
			}
		}
		if b.conn.ReadJSON(&m) != nil {
			return
		}
		b.mu.Lock()
		if m.ID > 0 {
			if m.Error != nil {
				m.Result = json.RawMessage(`{"error":` + string(m.Error) + `}`)
			}
			b.answers[m.ID] <- m.Result
			delete(b.answers, m.ID)
		} else {
			b.seen[m.Method] = append(b.seen[m.Method], map[string]string{
				"url": m.Params.Request.URL, "text": m.Params.Entry.Text + m.Params.ExceptionDetails.Text})
			if c := b.events[m.Method]; c != nil {
				close(c)
				delete(b.events, m.Method)
			}
		}
		b.mu.Unlock()
	}
}

// do gives a command with its arguments, names and values, and waits for the result.
func (b *browser) do(method string, result any, arguments ...any) {
	b.t.Helper()
	params := map[string]any{}
	for i := 0; i < len(arguments); i += 2 {
		params[arguments[i].(string)] = arguments[i+1]
	}
	b.mu.Lock()
	b.last++
	answer := make(chan json.RawMessage, 1)
	b.answers[b.last] = answer
	err := b.conn.WriteJSON(map[string]any{"id": b.last, "method": method, "params": params, "sessionId": b.session})
	b.mu.Unlock()
	if err != nil {
		b.t.Fatal(err)
	}
	select {
	case got := <-answer:
		if strings.HasPrefix(string(got), `{"error"`) {
			b.t.Fatalf("%s: %s", method, got)
		}
		if result != nil {
			if err := json.Unmarshal(got, result); err != nil {
				b.t.Fatal(err)
			}
		}
	case <-time.After(browserPatience):
		b.t.Fatalf("%s: no answer", method)
	}
}

// open opens a page and waits until it is there.
func (b *browser) open(url string) {
	b.t.Helper()
	loaded := make(chan struct{})
	b.mu.Lock()
	b.events["Page.loadEventFired"] = loaded
	b.mu.Unlock()
	b.do("Page.navigate", nil, "url", url)
	select {
	case <-loaded:
	case <-time.After(browserPatience):
		b.t.Fatalf("%s does not load", url)
	}
}

// eval returns what an expression of JavaScript is on the page, as text.
func (b *browser) eval(format string, arguments ...any) string {
	b.t.Helper()
	var got struct {
		Result           struct{ Value any }
		ExceptionDetails struct{ Exception struct{ Description string } }
	}
	expression := fmt.Sprintf(format, arguments...)
	b.do("Runtime.evaluate", &got, "expression", "String("+expression+")", "returnByValue", true)
	if e := got.ExceptionDetails.Exception.Description; e != "" {
		b.t.Fatalf("%s: %s", expression, e)
	}
	text, _ := got.Result.Value.(string)
	return text
}

// want compares what an expression is.
func (b *browser) want(what, want, format string, arguments ...any) {
	b.t.Helper()
	if got := b.eval(format, arguments...); got != want {
		b.t.Errorf("%s: %s, want %s", what, got, want)
	}
}

// point moves the mouse to the middle of the first part of an element.
func (b *browser) point(element string) {
	b.t.Helper()
	var x, y float64
	at := b.eval(`(e => { e.scrollIntoView({block: "center", behavior: "instant"}); const r = e.getClientRects()[0];
		return (r.left + r.width/2) + " " + (r.top + r.height/2) })(%s)`, element)
	if _, err := fmt.Sscan(at, &x, &y); err != nil {
		b.t.Fatalf("%s is at %q: %v", element, at, err)
	}
	b.do("Input.dispatchMouseEvent", nil, "type", "mouseMoved", "x", x, "y", y)
}

// press presses a key.
func (b *browser) press(key string, code int) {
	b.t.Helper()
	text := map[string]string{"Enter": "\r"}[key]
	b.do("Input.dispatchKeyEvent", nil, "type", "keyDown", "key", key, "code", key, "windowsVirtualKeyCode", code, "text", text)
	b.do("Input.dispatchKeyEvent", nil, "type", "keyUp", "key", key, "code", key, "windowsVirtualKeyCode", code)
}

// got returns the urls and texts of the events with this name.
func (b *browser) got(method string) (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.seen[method] {
		all = append(all, e["url"]+e["text"])
	}
	return all
}
