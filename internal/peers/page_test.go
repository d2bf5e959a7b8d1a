package peers

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// evil is a payload that would like to be a part of the page.
const evil = `</pre></details><script>document.title="owned"</script><img src=http://127.0.0.1:9/x onerror="document.title='owned'"><b id=owned>`

// TestPageInABrowser opens what --page writes in Chromium: a byte and its line light each other up, nothing is asked of
// the network, and what a server or a client sends stays text.
func TestPageInABrowser(t *testing.T) {
	tool(t, "chromium", "chromium")
	programs := buildPrograms(t)
	b := iotwire.run(t, setup{certificates: makeCertificates(t)})
	file := filepath.Join(t.TempDir(), "page.html")
	programs.publish(t, b, nil, "-t", "a/<b>&", "-q", "2", "-m", evil, "--page", file, "-n", "2", "-i", "0")
	url := "file://" + file

	w := startBrowser(t)
	w.open(url)
	if got := w.got("Network.requestWillBeSent"); len(got) != 1 || got[0] != url {
		t.Errorf("the page asked for %q", got)
	}

	w.run("text", func(t *testing.T) {
		w.want("title", "The illustrated MQTT connection", "document.title")
		w.want("elements of the payload", "0 1", `document.querySelectorAll("img, #owned, iframe, object").length + " " + document.scripts.length`)
		w.want("the payload in the table", "true", `[...document.querySelectorAll("td")].some(e => e.textContent.includes(%q))`, evil[:40])
		w.want("TLS", "true", `document.body.textContent.includes("TLS 1.3 underneath")`)
	})

	const run = `document.querySelectorAll("#p3-publish .strip a")[2]`
	const row = `document.getElementById(` + run + `.getAttribute("href").slice(1))`
	background := func(e string) string { return w.eval("getComputedStyle(%s).backgroundColor", e) }
	dark := background(row + ".cells[0]")
	lit := func(what string) {
		t.Helper()
		w.want(what+": lit", "2", `document.querySelectorAll(".lit").length`)
		if background(row+".cells[0]") == dark || background(run) != background(row+".cells[0]") {
			t.Errorf("%s: the line is %s, the byte %s, and it was %s", what, background(row+".cells[0]"), background(run), dark)
		}
	}
	w.run("hover", func(t *testing.T) {
		w.point(run)
		lit("pointing at bytes")
		w.want("the name of the field", "Topic Name length", `document.querySelector("tr.lit th").textContent`)
		w.point("document.querySelector('h1')")
		w.want("pointing elsewhere", "0", `document.querySelectorAll(".lit").length`)
		w.point(row + ".cells[2]")
		lit("pointing at a line")
		w.point(`document.querySelectorAll("#p3-publish .strip a")[0]`)
		w.want("a byte of several fields", "5", `document.querySelectorAll(".lit").length`)
	})

	w.run("keyboard", func(t *testing.T) {
		w.eval(`document.querySelectorAll("#p3-publish .strip a")[1].focus({preventScroll: true})`)
		w.press("Tab", 9)
		w.want("focus", "true", "document.activeElement === "+run)
		lit("the Tab key")
		w.press("Enter", 13)
		w.want("the Enter key leads to the line", "true", row+`.matches(":target")`)
	})

	w.run("bench", func(t *testing.T) {
		for n, want := range map[string]string{"321": "c1 02", "0": "00", "127": "7f", "128": "80 01", "2097152": "80 80 80 01", "268435455": "ff ff ff 7f"} {
			w.eval(`(n.value = %q, n.dispatchEvent(new Event("input")))`, n)
			w.want(n, want, "h.value")
			w.eval(`(n.value = "", h.value = %q, h.dispatchEvent(new Event("input")))`, want)
			w.want(want, n, "n.value")
		}
		w.eval(`(h.value = "80 80 80 80 01", h.dispatchEvent(new Event("input")))`)
		w.want("five bytes", "true", `o.textContent.includes("broken")`)
		w.eval(`(n.value = "268435456", n.dispatchEvent(new Event("input")))`)
		w.want("too much", "true", `o.textContent.includes("from 0 to 268435455")`)
	})

	w.run("open and close", func(t *testing.T) {
		const closed = `document.querySelectorAll("details.card:not([open])").length > 0`
		w.want("some are closed", "true", closed)
		w.eval("document.getElementById('all').click()")
		w.want("after a click", "false", closed)
		w.eval("document.getElementById('all').click()")
		w.want("after another", "0", `document.querySelectorAll("details.card[open]").length`)
		w.eval("location.hash = '#p7-publish'")
		w.eval("dispatchEvent(new Event('hashchange'))")
		w.want("a link to a packet opens it", "true", "document.getElementById('p7-publish').open")
		w.eval("dispatchEvent(new Event('beforeprint'))")
		w.want("in print", "false", closed)
		var pdf struct{ Data string }
		w.do("Page.printToPDF", &pdf)
		if b, err := base64.StdEncoding.DecodeString(pdf.Data); err != nil || !strings.HasPrefix(string(b), "%PDF") {
			t.Errorf("the print is no PDF: %v", err)
		}
	})

	w.run("narrow and dark", func(t *testing.T) {
		light := background("document.body")
		w.do("Emulation.setDeviceMetricsOverride", nil, "width", 320, "height", 640, "deviceScaleFactor", 1, "mobile", false)
		w.do("Emulation.setEmulatedMedia", nil, "features", []any{map[string]string{"name": "prefers-color-scheme", "value": "dark"}})
		w.eval("dispatchEvent(new Event('beforeprint'))") // the longest form of it
		w.want("nothing is wider than the screen", "true", "document.documentElement.scrollWidth <= document.documentElement.clientWidth")
		if background("document.body") == light {
			t.Errorf("it is as light in the dark: %s", light)
		}
	})

	w.run("nothing in the diagram is cut or overlaps", func(t *testing.T) {
		diagramsFit(w)
		w.open(illustratedDemo(t))
		diagramsFit(w)
		w.open(url)
	})

	w.run("without script", func(t *testing.T) {
		w.do("Emulation.setScriptExecutionDisabled", nil, "value", true)
		w.open(url)
		w.want("the button that would do nothing", "0 0", `document.getElementById("all").offsetHeight + " " + document.getElementById("bench").offsetHeight`)
		w.want("what is open", "true", `document.querySelector("#p3-publish table").offsetHeight > 100`)
		line := w.eval(run + `.getAttribute("href")`)
		w.open("about:blank")
		w.open(url + line)
		if got := background(row + ".cells[0]"); got == dark {
			t.Errorf("a link to a line does not light it up: %s", got)
		}
	})

	for _, event := range []string{"Log.entryAdded", "Runtime.exceptionThrown"} {
		if got := w.got(event); len(got) > 0 {
			t.Errorf("the browser complains: %s %q", event, got)
		}
	}
	for _, asked := range w.got("Network.requestWillBeSent") {
		if !strings.HasPrefix(asked, "file://") && asked != "about:blank" {
			t.Errorf("the page asked for %q", asked)
		}
	}
}

// illustratedDemo is the address of a page with two connections at the same time.
func illustratedDemo(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "demo.html")
	cmd := exec.Command("go", "run", "./cmd/demo", "--page", file)
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return "file://" + file
}

// diagramsFit looks for texts of the diagram that leave the screen or touch each other, on screens of several sizes.
func diagramsFit(w *browser) {
	for _, width := range []int{320, 768, 1280} {
		w.do("Emulation.setDeviceMetricsOverride", nil, "width", width, "height", 640, "deviceScaleFactor", 1, "mobile", false)
		w.want(fmt.Sprintf("%d pixels", width), "", `(() => {
			const all = [...document.querySelectorAll(".ends p, .diagram text")].map(e => ({text: e.textContent, r: e.getBoundingClientRect()})).filter(e => e.r.width > 0)
			if (all.length < 8) return "only " + all.length + " texts"
			const cut = all.filter(e => e.r.left < 0 || e.r.right > innerWidth)
			const touch = all.filter((a, i) => all.slice(0, i).some(b => a.r.left < b.r.right - 1 && b.r.left < a.r.right - 1 && a.r.top < b.r.bottom - 6 && b.r.top < a.r.bottom - 6))
			return [...cut, ...touch].map(e => e.text).join("; ")
		})()`)
	}
}

// TestDissectMakesPages has dissect make a page of what --pcap wrote: the same bytes are explained.
func TestDissectMakesPages(t *testing.T) {
	programs := buildPrograms(t)
	b := iotwire.run(t, setup{})
	dir := t.TempDir()
	page, capture := filepath.Join(dir, "page.html"), filepath.Join(dir, "x.pcapng")
	programs.publish(t, b, nil, "-m", evil, "--page", page, "--pcap", capture)
	cmd := exec.Command("go", "run", "./cmd/dissect", "-f", "page", capture)
	cmd.Dir = filepath.Join("..", "..")
	again, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	strips := func(page string) (all []string) {
		for _, part := range strings.Split(page, `<div class="strip">`)[1:] {
			strip, _, _ := strings.Cut(part, "</div>")
			all = append(all, strip)
		}
		return all
	}
	if a, b := strips(string(first)), strips(string(again)); len(a) < 14 || strings.Join(a, "\n") != strings.Join(b, "\n") {
		t.Errorf("%d packets are explained, and %d of the capture, or others", len(a), len(b))
	}
}
