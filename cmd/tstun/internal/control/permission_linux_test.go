package control_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tstun/cmd/tstun/internal/control"
	"tstun/logger"
)

// Another user is refused even where the modes would let it in.
func TestOtherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	for _, name := range []string{"setpriv", "curl"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(err)
		}
	}
	a, _ := pair(t)
	s, _ := serve(t, a)
	for _, path := range []string{filepath.Dir(s.Path()), s.Path()} {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	as := func(uid string) string {
		out, err := exec.CommandContext(within(t), "setpriv", "--reuid="+uid, "--clear-groups", "curl", "-s", "--unix-socket", s.Path(), "http://tstun/v1/status").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	if text := as("65534"); !strings.Contains(text, "not permitted: the tunnel is of user 0, and user 65534 asks") || strings.Contains(text, "publicKey") {
		t.Errorf("a stranger is told %s", text)
	}
	if text := as("0"); !strings.Contains(text, "publicKey") {
		t.Errorf("root is told %s", text)
	}
}

// A directory of another user is refused by name.
func TestOthersDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory away")
	}
	dir := shortDir(t)
	if err := os.Chown(dir, 65534, -1); err != nil {
		t.Fatal(err)
	}
	if s, err := control.Listen(dir, "node", logger.Discard); err == nil || !strings.Contains(err.Error(), dir+" belongs to user 65534") {
		t.Errorf("got %v, %v", s, err)
	}
	if err := os.Chown(dir, 0, -1); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if s, err := control.Listen(dir, "node", logger.Discard); err == nil || !strings.Contains(err.Error(), dir+" may be written by others") {
		t.Errorf("got %v, %v", s, err)
	}
}

func TestDirs(t *testing.T) {
	variables := map[string]string{"RUNTIME_DIRECTORY": "/run/a:/run/b", "XDG_RUNTIME_DIR": "/run/user/7"}
	dirs := control.Dirs("", func(name string) string { return variables[name] })
	if dirs[0] != "/run/a" || !strings.Contains(strings.Join(dirs, " "), "/run/user/7/tstun") {
		t.Errorf("in a service: %v", dirs)
	}
	delete(variables, "RUNTIME_DIRECTORY")
	want := "/run/tstun"
	if os.Geteuid() != 0 {
		want = "/run/user/7/tstun"
	}
	if dirs = control.Dirs("", func(name string) string { return variables[name] }); dirs[0] != want {
		t.Errorf("got %v", dirs)
	}
	variables["XDG_RUNTIME_DIR"] = "relative"
	if dirs = control.Dirs("", func(name string) string { return variables[name] }); strings.Contains(strings.Join(dirs, " "), "relative") {
		t.Errorf("got %v", dirs)
	}
}
