package report_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// browser is a Chromium without a window, and one page in it, driven by the DevTools
// protocol over two pipes: documents that end with a zero byte.
type browser struct {
	t        *testing.T
	out      *os.File
	messages chan message // closed when the browser is gone
	last     int
	session  string
	events   []message // that nobody has looked at
}

// message is what the browser says: the answer to a command, or an event.
type message struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// browserPatience bounds the time of one command.
const browserPatience = 60 * time.Second

// findBrowser returns a Chromium's path. Root is to have one.
func findBrowser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getuid() == 0 {
		t.Fatal("no Chromium: install chromium-headless-shell")
	}
	t.Skip("no Chromium")
	return ""
}

// startBrowser starts a Chromium that ends with the test.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	theirs, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	in, theirs2, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(findBrowser(t), "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-quic", "--disable-dev-shm-usage", "--disable-extensions", "--hide-scrollbars", "--user-data-dir="+t.TempDir(), "about:blank")
	cmd.ExtraFiles = []*os.File{theirs, theirs2} // descriptors 3 and 4, as the flag wants
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	theirs2.Close()
	b := &browser{t: t, out: out, messages: make(chan message)}
	go b.read(in)
	t.Cleanup(func() {
		out.Close() // which ends it
		kill := time.AfterFunc(browserPatience, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		for range b.messages {
		}
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Logf("the browser: %v: %s", err, &said)
		}
		in.Close()
	})
	b.attach()
	return b
}

// read reads messages until the browser ends.
func (b *browser) read(in *os.File) {
	defer close(b.messages)
	for r := bufio.NewReader(in); ; {
		text, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(text[:len(text)-1], &m) == nil {
			b.messages <- m
		}
	}
}

// attach opens the page.
func (b *browser) attach() {
	var target struct{ TargetID string }
	b.do("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.do("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Log", "Runtime", "Network"} {
		b.do(domain+".enable", nil, nil)
	}
}

// do has the browser do something, and keeps the events that come meanwhile.
func (b *browser) do(method string, params map[string]any, result any) {
	b.t.Helper()
	b.last++
	command := map[string]any{"id": b.last, "method": method, "params": params}
	if b.session != "" {
		command["sessionId"] = b.session
	}
	text, err := json.Marshal(command)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.out.Write(append(text, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	for {
		m, err := b.next()
		switch {
		case err != nil:
			b.t.Fatalf("%s: %v", method, err)
		case m.ID != b.last:
			b.events = append(b.events, m)
		case m.Error != nil:
			b.t.Fatalf("%s: %s", method, m.Error.Message)
		case result == nil:
			return
		default:
			if err := json.Unmarshal(m.Result, result); err != nil {
				b.t.Fatalf("%s: %v", method, err)
			}
			return
		}
	}
}

func (b *browser) next() (message, error) {
	select {
	case m, ok := <-b.messages:
		if !ok {
			return m, errors.New("the browser is gone")
		}
		return m, nil
	case <-time.After(browserPatience):
		return message{}, errors.New("no answer")
	}
}

// open opens a file, and returns when it is loaded.
func (b *browser) open(path string) {
	b.t.Helper()
	b.events = nil
	b.do("Page.navigate", map[string]any{"url": "file://" + path}, nil)
	for i := 0; ; i++ {
		for ; i < len(b.events); i++ {
			if b.events[i].Method == "Page.loadEventFired" {
				return
			}
		}
		m, err := b.next()
		if err != nil {
			b.t.Fatalf("open %s: %v", path, err)
		}
		b.events = append(b.events, m)
		i--
	}
}

// show makes the window so wide, and the reader's system light or dark.
func (b *browser) show(width int, scheme string) {
	b.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}, nil)
	b.do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]any{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// number returns the value of an expression.
func (b *browser) number(expression string) int {
	var r struct{ Result struct{ Value float64 } }
	b.do("Runtime.evaluate", map[string]any{"expression": expression}, &r)
	return int(r.Result.Value)
}

// picture returns what is seen, or with whole the whole page, as PNG.
func (b *browser) picture(whole bool) []byte {
	params := map[string]any{"format": "png", "captureBeyondViewport": whole}
	if whole {
		params["clip"] = map[string]any{"x": 0, "y": 0, "width": b.number("innerWidth"), "height": b.number("document.documentElement.scrollHeight || innerHeight"), "scale": 1}
	}
	var r struct{ Data []byte }
	b.do("Page.captureScreenshot", params, &r)
	return r.Data
}

// pdf returns the page as it is printed.
func (b *browser) pdf() []byte {
	var r struct{ Data []byte }
	b.do("Page.printToPDF", map[string]any{"preferCSSPageSize": true, "printBackground": false}, &r)
	return r.Data
}

// complaints returns what the page logged as an error, and what it asked for but itself.
func (b *browser) complaints() (all []string) {
	b.number("0") // what was logged before has come by then
	requests := 0
	for _, m := range b.events {
		switch m.Method {
		case "Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled":
			all = append(all, fmt.Sprintf("%s %s", m.Method, m.Params))
		case "Network.requestWillBeSent":
			if requests++; requests > 1 {
				all = append(all, fmt.Sprintf("a request: %s", m.Params))
			}
		}
	}
	if requests != 1 {
		all = append(all, fmt.Sprintf("%d requests", requests))
	}
	return all
}
