package up_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tstun/internal/rig/race"
)

// patience bounds every wait for something that must come.
const patience = 2 * time.Minute

// outage is how long a peer cannot be reached in TestOutage.
var outage = flag.Duration("outage", time.Second, "how long a peer is away")

// programVariable is the environment variable that names a built program. Without
// it, the first test that needs the program builds it.
const programVariable = "TSTUN_E2E_PROGRAM"

var buildDir string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	var err error
	if buildDir, err = os.MkdirTemp("", "tstun-up-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(buildDir)
	if code = m.Run(); code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// program returns the path of the program. It detects races where this one does.
func program(t *testing.T) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var built = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(programVariable); path != "" {
		return path, nil
	}
	path := filepath.Join(buildDir, "tstun")
	args := []string{"build", "-o", path}
	if race.Enabled {
		args = append(args, "-race")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", append(args, "tstun/cmd/tstun")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
})
