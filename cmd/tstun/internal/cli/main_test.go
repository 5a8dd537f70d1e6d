package cli_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tstun/cmd/tstun/internal/cli"
	"tstun/cmd/tstun/internal/ui"
)

// Exit codes, as "tstun help" documents them.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// TestMain makes the test binary serve as the tool: tests start it as tstun.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tstun": func() { os.Exit(cli.Main(os.Args[1:])) }})
}

// runTool runs the tool in this process, without variables and a terminal.
func runTool(args ...string) (code int, stdout, stderr string) {
	return runToolOn(nil, args...)
}

// runToolOn runs the tool as runTool does, with a standard input.
func runToolOn(stdin io.Reader, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	env := ui.Environment{Stdin: stdin, Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
	code = cli.Run(context.Background(), env, args)
	return code, out.String(), errs.String()
}
