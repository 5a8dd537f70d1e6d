package cli_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tstun/cmd/tstun/internal/ui"
	"tstun/internal/netns"
	"tstun/policy"
)

// TestScript runs the tool as its users do. The scripts have these commands, too:
//
//	exits CODE ARGS...  runs tstun and wants that exit code
//	fits                no line of stdout takes more than 80 columns
//	document ERRORS     stdout is one JSON document with as many errors, of
//	                    which stderr says each
//	cmpformat           stdout is policy.Format
//	waitfor NAME [TEXT] waits until tstun status tells of the tunnel NAME, and
//	                    its JSON has TEXT
//	cable HOST ADDRESS HOST ADDRESS
//	                    two hosts, each with an interface of the other's name
//	resolv HOST FILE    FILE is the host's /etc/resolv.conf
//	in HOST CODE PROGRAM ARGS...
//	                    runs a program there, and wants that exit code
//	up HOST FILE ARGS...
//	                    runs tstun up there, until the script ends
//	first STEP: CODE    what tstun explain says is wrong first
//
// $SHORT is a directory whose name leaves room for that of a socket.
func TestScript(t *testing.T) {
	cmds := map[string]func(*testscript.TestScript, bool, []string){
		"exits": exits, "fits": fits, "document": isDocument, "cmpformat": cmpFormat, "waitfor": waitFor,
	}
	maps.Copy(cmds, hostCommands)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			dir, err := os.MkdirTemp("", "tstun")
			env.Defer(func() { os.RemoveAll(dir) })
			env.Setenv("SHORT", dir)
			env.Values[hostsKey{}] = map[string]*host{}
			return err
		},
		Condition: condition,
		Cmds:      cmds,
	})
}

func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = ts.Exec("tstun", "status", args[0], "--json"); err == nil && strings.Contains(ts.ReadFile("stdout"), strings.Join(args[1:], " ")) {
			return
		}
	}
	ts.Fatalf("no tunnel %s: %v", args, err)
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: exits CODE ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec("tstun", args[1:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func fits(ts *testscript.TestScript, _ bool, _ []string) {
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		if line = strings.TrimRight(line, "\n"); ui.Width(line) > ui.MaxColumns || strings.Contains(line, "\t") {
			ts.Fatalf("%d columns: %s", ui.Width(line), line)
		}
	}
}

func isDocument(ts *testscript.TestScript, _ bool, args []string) {
	var doc struct {
		OK     *bool
		Errors []struct{ File, Message string }
		Hint   string
	}
	out := strings.NewReader(ts.ReadFile("stdout"))
	dec := json.NewDecoder(out)
	ts.Check(dec.Decode(&doc))
	if rest, err := io.ReadAll(io.MultiReader(dec.Buffered(), out)); err != nil || strings.TrimSpace(string(rest)) != "" {
		ts.Fatalf("behind the document: %q, %v", rest, err)
	}
	if got := strconv.Itoa(len(doc.Errors)); got != args[0] || doc.OK == nil || *doc.OK != (got == "0") {
		ts.Fatalf("%s errors, want %s; ok: %v", got, args[0], doc.OK)
	}
	said := ts.ReadFile("stderr")
	for _, e := range doc.Errors {
		if e.Message == "" || !strings.Contains(said, e.Message) || !strings.Contains(said, e.File) {
			ts.Fatalf("stderr does not say %+v", e)
		}
	}
	if got := strings.Count(said, "error: "); got != len(doc.Errors) {
		ts.Fatalf("stderr says %d errors, the document %d", got, len(doc.Errors))
	}
	if doc.Hint != "" && !strings.Contains(said, "hint: "+doc.Hint+"\n") {
		ts.Fatalf("stderr does not say the hint %q", doc.Hint)
	}
}

func cmpFormat(ts *testscript.TestScript, _ bool, _ []string) {
	if got := strings.TrimSpace(ts.ReadFile("stdout")); got != strings.TrimSpace(strings.ReplaceAll(policy.Format, "\t", "    ")) {
		ts.Fatalf("not policy.Format: %s", got)
	}
}

// condition reports whether a condition of the scripts holds. "privileged" holds
// if the test can make network namespaces.
func condition(name string) (bool, error) {
	if name != "privileged" {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	ns, err := netns.Create()
	if err != nil {
		return false, nil
	}
	return true, ns.Close()
}
