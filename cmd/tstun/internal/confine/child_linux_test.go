package confine_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tstun/internal/netns"
	"tstun/key"
)

// child is a process that has confined itself.
type child struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	says string // its line
}

// scene makes a directory with wg-quick's file, whose [Interface] has more, a
// policy, and a place for the state. The owner is who runs the child.
func scene(t *testing.T, more string, owner int) life {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755)
	}
	l := life{File: filepath.Join(dir, "etc", "tstun7.conf"), Policy: filepath.Join(dir, "etc", "policy.hujson"), StateDir: filepath.Join(dir, "run")}
	file := fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.7.0.1/24\n%s\n[Peer]\nPublicKey = %s\nAllowedIPs = 0.0.0.0/0, ::/0\n",
		key.NewPrivate().Reveal(), more, key.NewPrivate().Public())
	for _, path := range []string{filepath.Dir(l.File), l.StateDir, filepath.Join(dir, "home")} {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, l.File, file)
	write(t, l.Policy, policyOf(1))
	write(t, filepath.Join(dir, "home", "secret"), "secret")
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err == nil && os.Getuid() == 0 {
			err = os.Chown(path, owner, owner)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func policyOf(port int) string {
	return fmt.Sprintf(`{"local": "10.7.0.1", "accept": [{"src": "*", "dst": "10.7.0.1:%d"}]}`, port)
}

// write puts a new file in the place of another, as editors do.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// start starts a child as a user, in a namespace if there is one, and waits for
// its line.
func start(t *testing.T, ns *netns.NS, l life, uid int, env ...string) *child {
	t.Helper()
	life, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.CommandContext(t.Context(), "/proc/self/exe")}
	c.cmd.Env = append(append(os.Environ(), childEnv+"="+string(life)), env...)
	c.cmd.Stderr = os.Stderr
	if uid != os.Getuid() {
		c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if ns != nil {
		err = ns.Start(c.cmd)
	} else {
		err = c.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.in.Close(); _ = c.cmd.Wait() })
	c.says = c.line()
	return c
}

func (c *child) line() string {
	c.t.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		c.t.Fatalf("the child ended: %v", err)
	}
	return strings.TrimSpace(line)
}

// do has the child obey, and returns what it says.
func (c *child) do(words ...string) string {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.in, strings.Join(words, " ")); err != nil {
		c.t.Fatal(err)
	}
	return c.line()
}

// can has the child do what it must be able to.
func (c *child) can(words ...string) {
	c.t.Helper()
	if got := c.do(words...); got != "done" {
		c.t.Errorf("%s: %s", words, got)
	}
}

// cannot has the child try what it must not be permitted.
func (c *child) cannot(words ...string) {
	c.t.Helper()
	if got := c.do(words...); !strings.Contains(got, "permission denied") && !strings.Contains(got, "operation not permitted") {
		c.t.Errorf("%s: %s", words, got)
	}
}

// wantStatus wants a line of proc_pid_status(5) in all threads of the child.
func (c *child) wantStatus(lines ...string) {
	c.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", c.cmd.Process.Pid))
	if err != nil || len(files) <= threads {
		c.t.Fatalf("%d threads, %v", len(files), err)
	}
	for _, file := range files {
		status, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			continue // the thread ended
		}
		all := strings.Split(string(status), "\n")
		for _, line := range lines {
			if !slices.Contains(all, line) {
				c.t.Errorf("%s: no line %q in:\n%s", file, line, status)
			}
		}
	}
}
