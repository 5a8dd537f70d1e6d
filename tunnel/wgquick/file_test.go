package wgquick_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"tstun/tunnel/wgquick"
)

// exposure is a mode of a directory and of a file in it, and whether others
// can reach the file.
type exposure struct {
	dir, file fs.FileMode
	exposed   bool
	// wgQuick is whether wg-quick warns.
	wgQuick bool
}

var exposures = []exposure{
	{0o700, 0o600, false, false}, {0o700, 0o644, false, false}, {0o755, 0o600, false, false}, {0o755, 0o640, false, false},
	{0o755, 0o644, true, true}, {0o755, 0o601, true, true}, {0o711, 0o644, true, false}, {0o755, 0o602, true, false}, {0o744, 0o644, true, true},
}

// mode sets the modes, and returns a path to the file by a link.
func (e exposure) make(t *testing.T) string {
	t.Helper()
	outer := t.TempDir()
	dir := filepath.Join(outer, "keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file, link := filepath.Join(dir, "file"), filepath.Join(outer, "wg0.conf")
	writeConfig(t, file)
	if err := os.Symlink(file, link); err != nil {
		t.Skipf("no symbolic links: %v", err)
	}
	if err := os.Chmod(file, e.file); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, e.dir); err != nil {
		t.Fatal(err)
	}
	return link
}

func writeConfig(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("[Interface]\nPrivateKey = "+privateKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestParseFileMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing on Windows")
	}
	for _, e := range exposures {
		path := e.make(t)
		c, warnings, err := wgquick.ParseFile(path, wgquick.Options{})
		if err != nil || c.Name != "wg0" {
			t.Fatalf("%v, %v", c, err)
		}
		want := ""
		if e.exposed {
			want = fmt.Sprintf("[%s: other users can reach the keys in it: chmod 600 %[1]s]", path)
		}
		if got := strings.TrimPrefix(fmt.Sprint(warnings), "[]"); got != want {
			t.Errorf("%o in %o: %s, want %s", e.file, e.dir, got, want)
		}
	}
}

// wg-quick itself warns where exposures say, and never where Parse does not.
func TestModesAsWgQuick(t *testing.T) {
	if _, err := exec.LookPath("wg-quick"); err != nil {
		t.Skipf("no wg-quick: %v", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("wg-quick needs root")
	}
	for _, e := range exposures {
		out, err := exec.Command("wg-quick", "strip", e.make(t)).CombinedOutput()
		if got := strings.Contains(string(out), "world accessible"); err != nil || got != e.wgQuick || got && !e.exposed {
			t.Errorf("%o in %o: wg-quick warns: %v, %v; want %v", e.file, e.dir, got, err, e.wgQuick)
		}
	}
}

func TestParseFileErrors(t *testing.T) {
	dir := t.TempDir()
	wrongName, tooLong := filepath.Join(dir, "wg0.txt"), filepath.Join(dir, "wg0.conf")
	writeConfig(t, wrongName)
	writeConfig(t, tooLong)
	if err := os.Truncate(tooLong, 17<<20); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		wrongName:                      "want one that ends in .conf",
		tooLong:                        "longer than 16777216 bytes",
		filepath.Join(dir, "wg1.conf"): "wg1.conf",
		filepath.Join(dir, "."):        dir,
	} {
		if c, _, err := wgquick.ParseFile(path, wgquick.Options{}); c != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want %q", path, c, err, want)
		}
	}
	if c, _, err := wgquick.ParseFile(wrongName, wgquick.Options{Name: "wg5"}); err != nil || c.Name != "wg5" {
		t.Errorf("%v, %v", c, err)
	}
}

// A file may be a pipe, as bash makes of <(…), if it is said what it is for.
func TestParseFilePipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	path := fmt.Sprintf("/dev/fd/%d", r.Fd())
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no /dev/fd: %v", err)
	}
	if _, err := w.WriteString("[Interface]\nPrivateKey = " + privateKey + "\nMTU = 1400\n"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	c, warnings, err := wgquick.ParseFile(path, wgquick.Options{Name: "wg7"})
	if err != nil || c.MTU != 1400 || len(warnings) != 0 {
		t.Errorf("%v, %v, %v", c, warnings, err)
	}
}
