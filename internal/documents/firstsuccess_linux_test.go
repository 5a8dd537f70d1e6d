package documents

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tstun/internal/netns"
)

// README.md's first commands work as they stand, from a fresh build: two nodes
// start from what tstun pair wrote, and a request goes through the tunnel with
// the answer that is shown. They use ports of loopback's that may be taken, and
// so get a network of their own.
func TestReadmeFirstSuccess(t *testing.T) {
	inRoot(t)
	if testing.Short() {
		t.Skip("it links a program")
	}
	for _, program := range []string{"go", "python3", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s: %v", program, err)
		}
	}
	r := newReader(t)
	_, section, _ := strings.Cut(readFile(t, "README.md"), "## Two nodes in a minute\n")
	build, then, ok := strings.Cut(block(t, section, "bash"), " && ")
	if !ok || build != "go build ./cmd/tstun" {
		t.Fatalf("the first command is %q", build)
	}
	goBuild := exec.CommandContext(r.ctx, "go", "build", "-buildvcs=false", "-o", r.dir, "./cmd/tstun")
	goBuild.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=")
	if out, err := goBuild.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out := r.run(t, then); !strings.Contains(out, "pair/policy.hujson") {
		t.Fatalf("%s says\n%s", then, out)
	}
	_, rest, _ := strings.Cut(section, "```bash\n")
	for line := range strings.Lines(block(t, rest, "bash")) {
		r.start(t, strings.TrimSuffix(line, "\n"))
	}
	session := block(t, section, "console")
	var got strings.Builder
	for line := range strings.Lines(session) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			got.WriteString(line + r.run(t, command))
		}
	}
	if got.String() != session || strings.Count(session, "$ ") < 2 {
		t.Errorf("got\n%s\nREADME.md has\n%s", got.String(), session)
	}
}

// reader is who reads README.md, on a host of its own.
type reader struct {
	ctx context.Context
	dir string // stands for the clone, without what is compiled
	ns  *netns.NS
}

func newReader(t *testing.T) *reader {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // outlasts what Cleanup ends
	t.Cleanup(cancel)
	r := &reader{ctx: ctx, dir: t.TempDir(), ns: netns.New(t)}
	docs, err := filepath.Abs("docs")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(docs, filepath.Join(r.dir, "docs")); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *reader) command(line string, out *output) *exec.Cmd {
	cmd := exec.CommandContext(r.ctx, "sh", "-c", line)
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.dir, out, out
	return cmd
}

// run runs a command and returns all that it prints.
func (r *reader) run(t *testing.T, line string) string {
	t.Helper()
	var out output
	cmd := r.command(line, &out)
	if err := r.ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // what it prints says how it ended
	return out.String()
}

// start starts a command that runs until the test ends, and waits until it is
// ready. tstun then has to end well.
func (r *reader) start(t *testing.T, line string) {
	t.Helper()
	ready, isTunnel := "Serving HTTP", strings.HasPrefix(line, "./tstun up ")
	if isTunnel {
		ready = "the tunnel runs"
	} else {
		line = strings.Replace(line, "python3", "python3 -u", 1) // says at once that it serves
	}
	var out output
	cmd := r.command("exec "+line, &out)
	if err := r.ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; isTunnel && err != nil {
			t.Errorf("%s: %v\n%s", line, err, out.String())
		}
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(out.String(), ready) {
		select {
		case <-tick.C:
		case err := <-ended:
			ended <- err
			t.Fatalf("%s: ended: %v\n%s", line, err, out.String())
		case <-r.ctx.Done():
			t.Fatalf("%s: not ready\n%s", line, out.String())
		}
	}
}

// output is what a command has printed so far.
type output struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
