package layering

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

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
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
