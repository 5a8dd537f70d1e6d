package layering

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// inlines is the argument of go build by which the compiler says what it
// inlines, and why not.
const inlines = "-gcflags=-m=2"

// goTool runs the go command in the module's root, without a network, and
// returns all that it prints.
func goTool(t *testing.T, env []string, args ...string) string {
	t.Helper()
	name, err := exec.LookPath("go")
	if err != nil {
		t.Skipf("no go: %v", err)
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(append(os.Environ(), "GOPROXY=off", "GOSUMDB=off", "GOFLAGS=", "GOWORK="), env...)
	out, err := cmd.CombinedOutput()
	if err != nil && strings.Contains(string(out), "GOPROXY=off") {
		t.Skipf("modules are missing, which go mod download fetches: %s", out)
	}
	if i := slices.Index(args, inlines); err != nil && i >= 0 {
		// Among thousands of remarks nobody finds the error.
		return goTool(t, env, slices.Delete(args, i, i+1)...)
	}
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
