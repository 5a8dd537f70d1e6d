package control_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tstun/cmd/tstun/internal/control"
	"tstun/logger"
	"tstun/tunnel"
)

// ask sends one request and returns the status and the body.
func ask(t *testing.T, s *control.Server, method, path string, body io.Reader) (code int, text string) {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", s.Path()) }}
	req, err := http.NewRequestWithContext(within(t), method, "http://tstun"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

func TestStatus(t *testing.T) {
	a, _ := pair(t)
	s, c := serve(t, a)
	got, err := c.Status(within(t))
	if err != nil || got.PID != os.Getpid() || got.Name != "node1" || got.PublicKey != a.Status().PublicKey || len(got.Peers) != 1 || !got.Peers[0].Up || got.Peers[0].Name != "other" {
		t.Errorf("status %+v, %v", got, err)
	}
	if info, err := os.Stat(s.Path()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info, err)
	}
}

// What cannot be done is refused by an Error with the status of its kind.
func TestErrors(t *testing.T) {
	a, _ := pair(t)
	s, _ := serve(t, a)
	for _, tt := range []struct {
		method, path, body string
		code               int
		want               string
	}{
		{"GET", "/v1/nothing", "", 404, "no such endpoint"},
		{"GET", "/v1/down", "", 405, "takes POST"},
		{"POST", "/v1/status", "", 405, "takes GET"},
		{"POST", "/v1/reload", "", 422, errReload.Error()},
		{"POST", "/v1/reload", strings.Repeat("x", 100), 413, "no endpoint takes a body"},
		{"POST", "/v1/connect?to=10.9.0.2:80", "", 426, "Upgrade: tcp"},
		{"GET", "/v1/explain?src=x", "", 400, "src: "},
		{"GET", "/v1/explain?src=10.9.0.2&dst=10.9.0.1", "", 400, "dst: "},
		{"GET", "/v1/explain?src=10.9.0.2&dst=10.9.0.1:1&proto=nonsense", "", 400, "proto: "},
		{"GET", "/v1/explain?src=10.9.0.2&dst=10.9.0.1:1&direction=up", "", 400, "direction: "},
		{"GET", "/v1/audit", "", 409, "no policy is tried"},
		{"GET", "/v1/audit?limit=0", "", 400, "limit=0"},
		{"GET", "/v1/traffic?since=then", "", 400, "since"},
		{"GET", "/v1/audit?since=then", "", 400, "since"},
		{"GET", "/v1/checks?src=nobody&dst=10.9.0.1:80", "", 400, "no host or group"},
		{"GET", "/v1/checks?src=10.9.0.2&dst=10.9.0.1:80&direction=up", "", 400, "direction: "},
		{"GET", "/debug/pprof/profile?seconds=86400", "", 400, "want 1 to 60"},
	} {
		var body io.Reader
		if tt.body != "" {
			body = strings.NewReader(tt.body)
		}
		code, text := ask(t, s, tt.method, tt.path, body)
		var e control.Error
		if err := json.Unmarshal([]byte(text), &e); err != nil || code != tt.code || !strings.Contains(e.Message, tt.want) {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, code, text)
		}
	}
	if code, text := ask(t, s, "GET", "/v1/explain?src=10.9.0.2&dst=10.9.0.1:80", nil); code != 200 || !strings.Contains(text, `"response":"accept"`) {
		t.Errorf("explain: %d %s", code, text)
	}
	if code, text := ask(t, s, "GET", "/debug/pprof/goroutine?debug=1", nil); code != 200 || !strings.Contains(text, "goroutine profile") {
		t.Errorf("pprof: %d %.100s", code, text)
	}
}

// Before Serve the answer is that the tunnel is starting, but it can be ended.
func TestStarting(t *testing.T) {
	dir := shortDir(t)
	s, err := control.Listen(dir, "node", logger.Discard)
	if err != nil {
		t.Fatal(err)
	}
	c, err := control.Find([]string{dir}, "node")
	if err != nil {
		t.Fatal(err)
	}
	var e *control.Error
	if _, err := c.Status(within(t)); !errors.As(err, &e) || e.Code != 503 || !strings.Contains(e.Message, "starting") || e.Hint == "" {
		t.Errorf("status: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Down(within(t)) }()
	<-s.Down()
	if err := s.Close(errors.New("the route stays")); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil || err.Error() != "the route stays" {
		t.Errorf("down: %v", err)
	}
	if _, err := os.Lstat(s.Path()); !os.IsNotExist(err) {
		t.Errorf("the socket: %v", err)
	}
	if _, err := control.Find([]string{dir}, "node"); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("find: %v", err)
	}
}

// Down waits until all is undone.
func TestDown(t *testing.T) {
	a, _ := pair(t)
	s, c := serve(t, a)
	ended := make(chan error, 3)
	for range cap(ended) {
		go func() { ended <- c.Down(within(t)) }()
	}
	<-s.Down()
	if len(ended) > 0 {
		t.Error("down did not wait")
	}
	if err := s.Close(a.Close()); err != nil {
		t.Error(err)
	}
	for range cap(ended) {
		if err := <-ended; err != nil {
			// Who came after the end was told so, or found nobody.
			if !strings.Contains(err.Error(), "ended") && !strings.Contains(err.Error(), "ask tunnel") {
				t.Error(err)
			}
		}
	}
}

// A name has one run at a time, and a killed one's socket is replaced.
func TestOneRun(t *testing.T) {
	dir := shortDir(t)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "node.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if found, _ := control.List([]string{dir}); len(found) != 0 {
		t.Errorf("a killed run is listed: %v", found)
	}
	var first *control.Server
	var mu sync.Mutex
	var starts sync.WaitGroup
	for range 8 {
		starts.Go(func() {
			s, err := control.Listen(dir, "node", logger.Discard)
			if err != nil {
				if want := fmt.Sprintf("tunnel node runs already as process %d", os.Getpid()); !errors.Is(err, control.ErrRuns) || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v", err)
				}
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if first != nil {
				t.Error("two runs")
				s.Close(nil)
				return
			}
			first = s
		})
	}
	starts.Wait()
	if found, hidden := control.List([]string{dir, dir + "-none"}); len(found) != 1 || found[0].Name != "node" || hidden {
		t.Errorf("listed: %v, %v", found, hidden)
	}
	if err := first.Close(nil); err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"", ".", "../x", `a\b`, "a:b", strings.Repeat("x", 120)} {
		if s, err := control.Listen(shortDir(t), name, logger.Discard); err == nil {
			t.Errorf("%q was taken", name)
			s.Close(nil)
		}
	}
}

func TestEvents(t *testing.T) {
	a, b := pair(t)
	s, _ := serve(t, b)
	for end := time.Now().Add(patience); ; {
		_, text := ask(t, s, "GET", "/v1/events", nil)
		line, _, _ := strings.Cut(text, "\n")
		var e tunnel.Event
		if line != "" {
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Kind != tunnel.PeerUp || e.PeerName != "other" {
				t.Fatalf("%v: %s", err, text)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatal("no event")
		}
	}
	// A follower gets the same, and its end is the tunnel's.
	conn, err := net.Dial("unix", s.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "GET /v1/events?follow HTTP/1.1\r\nHost: tstun\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(resp.Body)
	if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, `"peer-up"`) {
		t.Errorf("follow: %q, %v", line, err)
	}
	b.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Errorf("the stream ends with %v", err)
	}
	_ = a
}

// Bytes pass both ways, and the end of one way leaves the other open.
func TestConnect(t *testing.T) {
	a, b := pair(t)
	l, err := a.Listen(within(t), "tcp", "10.9.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		text, _ := io.ReadAll(c) // until the other's half ends
		slices.Reverse(text)
		c.Write(text)
	}()
	_, c := serve(t, b)
	conn, err := c.Connect(within(t), "10.9.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	text := []byte(strings.Repeat("0123456789", 50_000))
	if _, err := conn.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	back, err := io.ReadAll(conn)
	slices.Reverse(back)
	if err != nil || string(back) != string(text) {
		t.Errorf("%d bytes came back, %v", len(back), err)
	}
	for to, want := range map[string]int{"127.0.0.1:80": 403, "[::1]:80": 403, "10.9.0.1": 400, "10.9.0.1:81": 502} {
		var e *control.Error
		if _, err := c.Connect(within(t), to); !errors.As(err, &e) || e.Code != want || e.Hint == "" && want != 400 {
			t.Errorf("connect %s: %v", to, err)
		}
	}
}

// Clients that send or read nothing take no place of others, and end with the
// Server.
func TestSlowClients(t *testing.T) {
	a, _ := pair(t)
	s, c := serve(t, a)
	for _, text := range []string{"", "GET /v1/st", "GET /v1/events?follow HTTP/1.1\r\nHost: x\r\n\r\n", "POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"} {
		for range 20 {
			conn, err := net.Dial("unix", s.Path())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			io.WriteString(conn, text)
		}
	}
	if _, err := c.Status(within(t)); err != nil {
		t.Error(err)
	}
	for range 200 { // more than there are places for
		conn, err := net.Dial("unix", s.Path())
		if err != nil {
			break
		}
		defer conn.Close()
	}
	var e *control.Error
	if _, err := c.Status(within(t)); err != nil && (!errors.As(err, &e) || e.Code != 503 || !strings.Contains(e.Message, "connections are served")) {
		t.Errorf("status: %v", err)
	} else if err == nil {
		t.Error("no limit")
	}
}
