package control_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tstun/capture"
	"tstun/cmd/tstun/internal/control"
	"tstun/tunnel"
)

// say sends datagrams from a tunnel to a port of 10.9.0.1 until the test or the
// returned function ends.
func say(t *testing.T, b *tunnel.Tunnel, to string) (stop func()) {
	t.Helper()
	c, err := b.DialContext(within(t), "udp", to)
	if err != nil {
		t.Fatal(err)
	}
	end, said := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(said)
		defer c.Close()
		for {
			select {
			case <-end:
				return
			case <-time.After(time.Millisecond):
				_, _ = c.Write([]byte("hello")) // that nobody listens may come back
			}
		}
	}()
	stop = sync.OnceFunc(func() {
		close(end)
		<-said
	})
	t.Cleanup(stop)
	return stop
}

// read returns the packets of a file, whose bytes it copies.
func read(t *testing.T, r io.Reader) (all []capture.Recorded) {
	t.Helper()
	file, err := capture.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	for {
		p, err := file.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		own := *p
		own.Packet = bytes.Clone(p.Packet)
		all = append(all, own)
	}
}

// A capture has the packets that the expression is true of, as many as are wanted, with
// the names of peers. Several at once have each their own.
func TestCapture(t *testing.T) {
	a, b := pair(t)
	_, c := serve(t, a)
	say(t, b, "10.9.0.1:5000")
	say(t, b, "10.9.0.1:5001")
	var running sync.WaitGroup
	for _, q := range []control.CaptureQuery{
		{Filter: "in and udp dst port 5000", Count: 7},
		{Filter: "peer other and udp dst port 5001", Count: 3, SnapLen: 28},
	} {
		running.Go(func() {
			var file bytes.Buffer
			got, err := c.Capture(within(t), q, &file)
			if err != nil || got.Written != q.Count || got.Lost != 0 {
				t.Errorf("%+v: %+v, %v", q, got, err)
				return
			}
			all := read(t, &file)
			if len(all) != int(q.Count) {
				t.Errorf("%+v: %d packets", q, len(all))
			}
			for _, p := range all {
				if !p.Inbound || p.Note.Peer != "other" || p.Note.Verdict.Response.IsDrop() || p.Length != 33 || q.SnapLen > 0 && len(p.Packet) != q.SnapLen {
					t.Errorf("%+v: %+v", q, p)
				}
			}
		})
	}
	running.Wait()
	if stop, err := a.Observe(nil); err != nil {
		t.Error(err)
	} else {
		stop() // none is left, or the nil would not be alone
	}
}

// A capture that begins in the past has each packet once, those that the expression is
// true of, up to the end that it is given.
func TestCaptureSince(t *testing.T) {
	a, b := pair(t)
	h, err := capture.NewHistory(capture.HistoryOptions{Memory: 1 << 20, SnapLen: 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	stop, err := a.Observe(h.Sink)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	s, c := serve(t, a)
	s.Serve(control.Running{Tunnel: a, Network: through{a}, History: h})
	began := time.Now().Add(-time.Second)
	end := say(t, b, "10.9.0.1:5000")
	say(t, b, "10.9.0.1:5001")
	for h.Stats().Kept < 60 {
		time.Sleep(time.Millisecond)
	}
	past := func(q control.CaptureQuery) []capture.Recorded {
		t.Helper()
		var file bytes.Buffer
		q.Since = began
		got, err := c.Capture(within(t), q, &file)
		all := read(t, &file)
		if err != nil || got.Lost != 0 || got.Written != uint64(len(all)) {
			t.Errorf("%+v: %+v, %v, %d packets", q, got, err, len(all))
		}
		return all
	}
	end()
	until := time.Now()
	all := past(control.CaptureQuery{Filter: "in and peer other and udp dst port 5000", Until: until})
	again := past(control.CaptureQuery{Filter: "udp dst port 5000", Count: uint64(len(all)), Until: until})
	if len(all) < 5 || len(again) != len(all) {
		t.Errorf("%d packets, then %d", len(all), len(again))
	}
	for i, p := range all {
		if p.Note.Peer != "other" || p.Length != 33 || len(p.Packet) != 30 || i > 0 && p.Time.Before(all[i-1].Time) {
			t.Errorf("%+v", p)
		}
	}
	if live := past(control.CaptureQuery{Filter: "udp dst port 5001", Count: uint64(len(all)) + 50}); len(live) != len(all)+50 {
		t.Errorf("%d packets", len(live))
	}
	s.Serve(control.Running{Tunnel: a, Network: through{a}})
	var told *control.Error
	if _, err := c.Capture(within(t), control.CaptureQuery{Since: began}, io.Discard); !errors.As(err, &told) || told.Code != 409 || told.Hint == "" {
		t.Errorf("none are kept: %v", err)
	}
}

// The end of the client's context ends the capture with a file that is whole.
func TestCaptureEnds(t *testing.T) {
	a, b := pair(t)
	_, c := serve(t, a)
	say(t, b, "10.9.0.1:5000")
	ctx, cancel := context.WithCancel(within(t))
	r, w := io.Pipe()
	var file bytes.Buffer
	done := make(chan error, 1)
	go func() {
		got, err := c.Capture(ctx, control.CaptureQuery{}, w)
		if err == nil && got.Written == 0 {
			err = errors.New("nothing was written")
		}
		w.Close()
		done <- err
	}()
	in := io.TeeReader(r, &file)
	live, err := capture.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := live.Next(); err != nil { // as it passes
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, in); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if all := read(t, &file); len(all) == 0 {
		t.Error("no packet")
	}
}

// An error of the writer ends the capture at once.
func TestCaptureWriteFails(t *testing.T) {
	a, b := pair(t)
	_, c := serve(t, a)
	say(t, b, "10.9.0.1:5000")
	r, w := io.Pipe()
	full := errors.New("the disk is full")
	r.CloseWithError(full)
	if _, err := c.Capture(within(t), control.CaptureQuery{}, w); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

// A client that goes without a word, or reads nothing, holds nobody up, and there is a
// limit.
func TestCaptureBounds(t *testing.T) {
	a, b := pair(t)
	s, c := serve(t, a)
	say(t, b, "10.9.0.1:5000")
	var conns []net.Conn
	for range tunnel.MaxSinks {
		conn, err := net.Dial("unix", s.Path())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /v1/capture HTTP/1.1\r\nHost: tstun\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	var told *control.Error
	if _, err := c.Capture(within(t), control.CaptureQuery{}, io.Discard); !errors.As(err, &told) || told.Code != 503 || told.Hint == "" {
		t.Errorf("one too many: %v", err)
	}
	conns[0].Close()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		_, err := c.Capture(within(t), control.CaptureQuery{Count: 1}, io.Discard)
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	if _, err := c.Capture(within(t), control.CaptureQuery{Filter: "port 80 an host x"}, io.Discard); !errors.As(err, &told) || told.Code != 400 || !strings.Contains(told.Message, "at byte 8") {
		t.Errorf("a wrong filter: %v", err)
	}
}

// tshark reads a capture live.
func TestCaptureTshark(t *testing.T) {
	path, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip(err)
	}
	a, b := pair(t)
	_, c := serve(t, a)
	say(t, b, "10.9.0.1:5000")
	cmd := exec.CommandContext(within(t), path, "-l", "-n", "-r", "-", "-T", "fields", "-e", "udp.dstport", "-e", "frame.comment")
	cmd.Env = append(cmd.Environ(), "HOME="+filepath.Join(t.TempDir(), "none"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := c.Capture(ctx, control.CaptureQuery{Filter: "in and udp port 5000"}, in)
		done <- errors.Join(err, in.Close())
	}()
	line := make([]byte, 200)
	n, err := out.Read(line) // while the capture goes on
	if want := "5000\tverdict="; err != nil || !strings.HasPrefix(string(line[:n]), want) || !strings.Contains(string(line[:n]), "peer=other") {
		t.Errorf("%q, %v; want %q", line[:n], err, want)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
