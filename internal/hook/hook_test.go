//go:build unix

package hook_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tstun/internal/hook"
)

const patience = 30 * time.Second

func run(t *testing.T, command string) (lines []string, err error) {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = hook.Run(ctx, command, "wg0", func(line string) { lines = append(lines, line) })
	return lines, err
}

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name, command string
		want          []string
		fails         bool
	}{
		{"name", `echo up %i; echo $INTERFACE`, []string{"up wg0", "wg0"}, false},
		{"both outputs", `echo a; echo b >&2; printf c`, []string{"a", "b", "c"}, false},
		{"bash", `[[ wg0 == wg@(0|1) ]] && echo $LC_ALL`, []string{"C"}, false},
		{"errexit", `echo a; false; echo b`, []string{"a"}, true},
		{"pipefail", `false | true; echo b`, nil, true},
		{"no input", `read x || echo none`, []string{"none"}, false},
		{"nothing inherited", `[ ! -e /proc/self/fd/3 ] && echo closed`, []string{"closed"}, false},
		{"a terminal's codes", `printf 'a\033[2Jb\n'`, []string{"a�[2Jb"}, false},
		{"a long line", `printf '%.0sx' {1..1500}`, []string{strings.Repeat("x", 1024), strings.Repeat("x", 476)}, false},
		{"long", "echo " + strings.Repeat("y", 1<<17) + " | wc -c", []string{"131073"}, false},
		{"background", `sleep 60 & echo $! > /dev/null; echo on`, []string{"on"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := run(t, tt.command)
			if !slices.Equal(got, tt.want) || (err != nil) != tt.fails {
				t.Errorf("got %q, %v", got, err)
			}
			if err != nil && strings.Contains(err.Error(), tt.command) {
				t.Errorf("the command shows: %v", err)
			}
		})
	}
}

// The command is in no process's arguments or environment, and bash's children
// end with ctx.
func TestSecretAndEnd(t *testing.T) {
	if _, err := os.Stat("/proc/self/environ"); err != nil {
		t.Skip(err)
	}
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip(err)
	}
	started := filepath.Join(t.TempDir(), "started")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	ended := make(chan error, 1)
	go func() {
		command := fmt.Sprintf(": hunter2; sleep 300 & echo $$ $! > %[1]s.new; mv %[1]s.new %[1]s; wait", started)
		ended <- hook.Run(ctx, command, "wg0", func(string) {})
	}()
	var pids []string
	for end := time.Now().Add(patience); len(pids) == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		text, _ := os.ReadFile(started)
		pids = strings.Fields(string(text))
	}
	if len(pids) != 2 {
		t.Fatalf("pids %q", pids)
	}
	for _, pid := range pids {
		for _, file := range []string{"cmdline", "environ"} {
			text, err := os.ReadFile(filepath.Join("/proc", pid, file))
			if err != nil || strings.Contains(string(text), "hunter2") {
				t.Errorf("%s: %q, %v", file, text, err)
			}
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	child, _ := strconv.Atoi(pids[1])
	for end := time.Now().Add(patience); isRunning(child); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("bash's child runs on")
		}
	}
}

// isRunning reports whether a process is there and no zombie.
func isRunning(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(text), ") ")
	return err == nil && !strings.HasPrefix(state, "Z")
}
