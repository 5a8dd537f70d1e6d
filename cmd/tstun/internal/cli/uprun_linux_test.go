package cli_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tstun/internal/netns"
	"tstun/key"
	"tstun/tunnel"
)

// upRun is a run of tstun up whose log is JSON.
type upRun struct {
	cmd    *exec.Cmd
	stdout strings.Builder
	ended  chan struct{} // closed once the process is gone
	err    error         // of Wait, then

	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed and replaced with each line
}

// startUp starts tstun up, in a namespace unless that is nil.
func startUp(t *testing.T, ns *netns.NS, change func(*exec.Cmd), args ...string) *upRun {
	t.Helper()
	r := &upRun{cmd: exec.Command("tstun", append([]string{"up", "--log-format", "json"}, args...)...), ended: make(chan struct{}), more: make(chan struct{})}
	r.cmd.Env = append(os.Environ(), "LC_ALL=C", "RUNTIME_DIRECTORY="+socketDir(t))
	if change != nil {
		change(r.cmd)
	}
	errs, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.cmd.Stdout = &r.stdout
	start := r.cmd.Start
	if ns != nil {
		start = func() error { return ns.Start(r.cmd) }
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	go r.follow(errs)
	t.Cleanup(func() {
		r.cmd.Process.Kill()
		<-r.ended
	})
	return r
}

// socketDir returns a directory for control sockets, whose name leaves room for
// theirs: tests that run at once have tunnels of the same name.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tstun")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (r *upRun) follow(errs io.Reader) {
	for s := bufio.NewScanner(errs); s.Scan(); {
		r.mu.Lock()
		r.lines = append(r.lines, s.Text())
		close(r.more)
		r.more = make(chan struct{})
		r.mu.Unlock()
	}
	r.err = r.cmd.Wait()
	close(r.ended)
}

// said returns all that it has written to stderr.
func (r *upRun) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

// record is a line of the log.
type record struct {
	Level, Msg, Address string
	ListenPort          int
	Addresses           []string
	Mode                string
}

// await waits for a line that has a text, after the first n, and returns it
// and the number of lines up to it.
func (r *upRun) await(t *testing.T, n int, text string) (rec record, next int) {
	t.Helper()
	for end := time.After(inTime); ; {
		r.mu.Lock()
		lines, more := r.lines, r.more
		r.mu.Unlock()
		for ; n < len(lines); n++ {
			if strings.Contains(lines[n], text) {
				_ = json.Unmarshal([]byte(lines[n]), &rec) // an error's line is no record
				return rec, n + 1
			}
		}
		select {
		case <-more:
		case <-r.ended:
			t.Fatalf("ended, %v, without %q:\n%s", r.err, text, r.said())
		case <-end:
			t.Fatalf("no %q:\n%s", text, r.said())
		}
	}
}

// exit waits for the end and checks the exit code.
func (r *upRun) exit(t *testing.T, want int) {
	t.Helper()
	select {
	case <-r.ended:
	case <-time.After(inTime):
		t.Fatalf("still there:\n%s", r.said())
	}
	got, exit := 0, (*exec.ExitError)(nil)
	if errors.As(r.err, &exit) {
		got = exit.ExitCode()
	}
	if got != want || r.stdout.Len() > 0 {
		t.Errorf("exit code %d, want %d; stdout %q, stderr:\n%s", got, want, r.stdout.String(), r.said())
	}
}

func (r *upRun) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := r.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// ends sends SIGTERM and wants all to be undone.
func (r *upRun) ends(t *testing.T) {
	t.Helper()
	r.signal(t, os.Interrupt)
	r.exit(t, exitOK)
}

// upFiles are what a run needs.
type upFiles struct {
	dir       string
	own, peer key.Private
	preshared key.Preshared
}

// newUpFiles writes the file of a tunnel with a peer called office, which is
// 10.77.0.2 at 127.0.0.1:port, or has to begin if that is 0.
func newUpFiles(t *testing.T, name string, port int) *upFiles {
	t.Helper()
	f := &upFiles{dir: t.TempDir(), own: key.NewPrivate(), peer: key.NewPrivate(), preshared: key.NewPreshared()}
	endpoint := ""
	if port != 0 {
		endpoint = fmt.Sprintf("Endpoint = 127.0.0.1:%d\n", port)
	}
	f.write(t, name+".conf", fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.77.0.1/24\n[Peer]\n# Name = office\nPublicKey = %v\nPresharedKey = %s\nAllowedIPs = 10.77.0.2/32\n%s",
		f.own.Reveal(), f.peer.Public(), f.preshared.Reveal(), endpoint))
	return f
}

func (f *upFiles) path(name string) string { return filepath.Join(f.dir, name) }

// write puts a file in place at once, as editors do.
func (f *upFiles) write(t *testing.T, name, text string) {
	t.Helper()
	next := f.path(name + "~")
	if err := errors.Join(os.WriteFile(next, []byte(text), 0o600), os.Rename(next, f.path(name))); err != nil {
		t.Fatal(err)
	}
}

// office starts the peer in this process, and waits for the handshake.
func (f *upFiles) office(t *testing.T, endpoint string) *tunnel.Tunnel {
	t.Helper()
	tun, err := tunnel.Start(t.Context(), tunnel.Config{
		Mode: tunnel.ModeUserspace, PrivateKey: f.peer, Addresses: []netip.Prefix{netip.MustParsePrefix("10.77.0.2/24")},
		Peers: []tunnel.Peer{{
			Name: "laptop", PublicKey: f.own.Public(), PresharedKey: f.preshared,
			AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.77.0.1/32")}, Endpoint: endpoint, Required: true,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tun.Close() })
	return tun
}
