package interop_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// programEnv names the program tstun where there is no Go to build it with.
const programEnv = "TSTUN_E2E_PROGRAM"

// built builds the program once.
var built = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(programEnv); path != "" {
		return path, nil
	}
	path := filepath.Join(buildDir, "tstun")
	out, err := exec.Command("go", "build", "-o", path, "tstun/cmd/tstun").CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
})

var buildDir string

func TestMain(m *testing.M) {
	var err error
	if buildDir, err = os.MkdirTemp("", "interop"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(buildDir)
	os.Exit(code)
}

// program is a tstun up that runs.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has
	err   error         // valid once ended is closed

	mu  sync.Mutex // guards log
	log strings.Builder
}

// Write takes what the program logs.
func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *program) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// up runs tstun up in our host and waits until the tunnel is up.
func (l *lab) up(mode, file string, args ...string) *program {
	l.t.Helper()
	path, err := built()
	if err != nil {
		l.t.Fatal(err)
	}
	p := &program{t: l.t, ended: make(chan struct{})}
	p.cmd = exec.Command(path, append([]string{"up", file, "--mode", mode}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.WaitDelay = p, p, time.Second
	if err := l.ours.Start(p.cmd); err != nil {
		l.t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	l.t.Cleanup(func() {
		p.end()
		if l.t.Failed() {
			l.t.Logf("tstun logged:\n%s", p.logged())
		}
	})
	eventually(l.t, "tstun up", func() (string, bool) {
		select {
		case <-p.ended:
			l.t.Fatalf("%v:\n%s", p.err, p.logged())
		default:
		}
		log := p.logged()
		return log, strings.Contains(log, `msg="the tunnel runs" name=`+ourDev+" ") && strings.Contains(log, " mode="+mode+" ")
	})
	return p
}

// end ends the program by a signal, if it runs, and wants it to succeed.
func (p *program) end() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-p.ended:
		if p.err != nil {
			p.t.Errorf("tstun up: %v", p.err)
		}
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.ended
		p.t.Errorf("SIGTERM does not end it")
	}
}
