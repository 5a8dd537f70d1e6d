package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tstun/cmd/tstun/internal/cli"
	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
	"tstun/key"
	"tstun/logger"
	"tstun/tunnel"
)

const forgottenPort = `{
	"hosts": {"web": "10.9.0.1", "laptop": "10.9.0.2"},
	"local": ["web"],
	"accept": [
		{"proto": ["tcp", "udp"], "src": "laptop", "dst": "web:53,80"},
	],
}`

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// forgotten returns the state directory of a tunnel that runs, web, and laptop, which
// talks to it.
func forgotten(t *testing.T) (dir string, web, laptop *tunnel.Tunnel) {
	t.Helper()
	dir, err := os.MkdirTemp("", "tstun")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(t.TempDir(), "policy.hujson")
	if err := os.WriteFile(file, []byte(forgottenPort), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := [2]key.Private{key.NewPrivate(), key.NewPrivate()}
	start := func(n int, name string, c tunnel.Config) *tunnel.Tunnel {
		c.Name, c.Mode, c.PrivateKey = name, tunnel.ModeUserspace, keys[n]
		c.Addresses = []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.9.0.%d/24", n+1))}
		c.Peers[0].PublicKey, c.Peers[0].AllowedIPs = keys[1-n].Public(), []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.9.0.%d/32", 2-n))}
		tun, err := tunnel.Start(within(t), c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tun.Close() })
		return tun
	}
	web = start(0, "web", tunnel.Config{Policy: file, Peers: []tunnel.Peer{{Name: "laptop"}}})
	laptop = start(1, "laptop", tunnel.Config{Peers: []tunnel.Peer{{Name: "web", Required: true, Endpoint: fmt.Sprintf("127.0.0.1:%d", web.Status().ListenPort)}}})
	s, err := control.Listen(dir, "web", logger.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(nil) })
	s.Serve(control.Running{Tunnel: web})
	return dir, web, laptop
}

// send sends a datagram to a port of web.
func send(t *testing.T, laptop *tunnel.Tunnel, port int) {
	t.Helper()
	c, err := laptop.DialContext(within(t), "udp", fmt.Sprint("10.9.0.1:", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("there")); err != nil {
		t.Fatal(err)
	}
}

// tstun runs a command line, of which no line of several words is too long.
func tstun(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := runTool(args...)
	if code != want {
		t.Fatalf("%q: exit code %d, want %d:\n%s%s", args, code, want, stdout, stderr)
	}
	for line := range strings.Lines(stdout) {
		words := strings.Fields(line) // a file's name cannot be broken
		if !slices.Contains(args, "--json") && ui.Width(strings.TrimRight(line, "\n")) > ui.MaxColumns && len(words) > 1 {
			t.Errorf("%q: a long line: %s", args, line)
		}
	}
	return stdout, stderr
}

// eventually runs a command line until its output has all words.
func eventually(t *testing.T, words []string, args ...string) (stdout string) {
	t.Helper()
	for ctx := within(t); ; time.Sleep(5 * time.Millisecond) {
		stdout, _ = tstun(t, 0, args...)
		missing := ""
		for _, w := range words {
			if !strings.Contains(strings.Join(strings.Fields(stdout), " "), w) {
				missing = w
			}
		}
		if missing == "" {
			return stdout
		}
		if ctx.Err() != nil {
			t.Fatalf("%q does not say %q:\n%s", args, missing, stdout)
		}
	}
}

// A port that the policy forgot: flows and events say that no rule allows it, which comes
// nearest, and that it lacks the port.
func TestForgottenPort(t *testing.T) {
	dir, web, laptop := forgotten(t)
	l, err := web.ListenPacket(within(t), "udp", ":53")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	send(t, laptop, 53)
	send(t, laptop, 8080)
	text := eventually(t, []string{
		"1 refused flow, 1 packet", "udp from laptop (10.9.0.2) to web:8080 (10.9.0.1): 1 packet", "no-rule: rule 0, ", "policy.hujson:5:3, comes nearest: port 8080 is not in web:53,80",
	}, "flows", "--dropped", "--state-dir", dir)
	if strings.Contains(text, "web:53 ") {
		t.Errorf("what passed is among it:\n%s", text)
	}
	eventually(t, []string{"2 flows, 33 B in, 28 B out", "udp laptop > web:53", "peer new policy.hujson:5", "1 refused flow"}, "flows", "--tunnel", "web", "--state-dir", dir)
	eventually(t, []string{"flow-refused udp from laptop (10.9.0.2) to web:8080 (10.9.0.1): no-rule; rule 0, ", "comes nearest: port 8080 is not in web:53,80", "peer-up laptop is up"}, "events", "--state-dir", dir)

	next := filepath.Join(t.TempDir(), "next.hujson")
	if err := os.WriteFile(next, []byte(strings.Replace(forgottenPort, "53,80", "80,8080", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		code int
		args []string
		want []string
	}{
		{1, []string{"policy", "plan", next}, []string{"cut udp from laptop (10.9.0.2) to web:53 (10.9.0.1)", "let in udp from laptop (10.9.0.2) to web:8080 (10.9.0.1)", "laptop 1 1 33 1 1"}},
		{0, []string{"policy", "suggest"}, []string{"# 1 rule is added", `+ {"proto": "udp", "src": "laptop", "dst": "web:8080"},`}},
		{0, []string{"policy", "suggest", "--tighten"}, []string{"# 1 rule go or are replaced, by 1", `+ {"proto": "udp", "src": "laptop", "dst": "web:53"},`}},
		{0, []string{"policy", "usage"}, []string{"5 1 33"}},
		{0, []string{"check", next, "--record", "--json"}, []string{`"dst": "10.9.0.1:53", "srcName": "laptop", "dstName": "web", "why": "it was let in, and the policy refuses it"`}},
	} {
		out, _ := tstun(t, tt.code, append(tt.args, "--state-dir", dir)...)
		for _, want := range tt.want {
			if !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
				t.Errorf("%q does not say %q:\n%s", tt.args, want, out)
			}
		}
	}

	out, _ := tstun(t, 0, "flows", "--json", "--since", "-10m", "--state-dir", dir, "dropped", "and", "port", "8080")
	var f tunnel.Flow
	if err := json.Unmarshal([]byte(out), &f); err != nil || strings.Count(out, "\n") != 1 || f.Reason.String() != "no-rule" || len(f.Lacks) != 1 || f.Lacks[0] != "port" || f.NearestRule.Line != 5 {
		t.Errorf("%v: %s", err, out)
	}
	out, said := tstun(t, 2, "flows", "--json", "--state-dir", dir, "port", "port")
	if !strings.Contains(said, `filter: at byte 5: "port": `) || !strings.Contains(out, `"ok": false`) || !json.Valid([]byte(out)) {
		t.Errorf("%s%s", out, said)
	}
	if out, _ := tstun(t, 0, "flows", "--json", "--state-dir", dir, "out"); out != "" {
		t.Errorf("the host's: %s", out)
	}
}

// What follows ends well by a signal, and by the end of the tunnel.
func TestFollow(t *testing.T) {
	dir, web, laptop := forgotten(t)
	follow := func(ctx context.Context, args ...string) (lines *io.PipeReader, ended chan int) {
		r, w := io.Pipe()
		env := ui.Environment{Stdout: w, Stderr: io.Discard, Getenv: func(string) string { return "" }}
		ended = make(chan int, 1)
		go func() {
			ended <- cli.Run(ctx, env, append(args, "--state-dir", dir))
			w.Close()
		}()
		return r, ended
	}
	ctx, cancel := context.WithCancel(within(t))
	flows, watched := follow(ctx, "flows", "--watch", "--json", "in and dropped")
	events, followed := follow(within(t), "events", "-f")
	found := make(chan string, 2)
	look := func(r io.Reader, want string) {
		var all strings.Builder
		buf := make([]byte, 4096)
		for !strings.Contains(all.String(), want) {
			n, err := r.Read(buf)
			all.Write(buf[:n])
			if err != nil {
				found <- all.String()
				return
			}
		}
		found <- ""
		_, _ = io.Copy(io.Discard, r)
	}
	go look(flows, `"kind":"refused"`)
	go look(events, "flow-refused")
	for n, port := 0, 1000; n < 2; port++ {
		select {
		case missing := <-found:
			if missing != "" {
				t.Fatalf("only %s", missing)
			}
			n++
		case <-time.After(20 * time.Millisecond):
			send(t, laptop, port) // until it is seen: each port is another flow
		}
	}
	cancel()
	if code := <-watched; code != 0 {
		t.Errorf("a signal ends flows --watch with %d", code)
	}
	if err := web.Close(); err != nil {
		t.Error(err)
	}
	if code := <-followed; code != 0 {
		t.Errorf("the tunnel's end ends events -f with %d", code)
	}
}
