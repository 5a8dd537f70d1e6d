package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/ui"
	"tstun/policy"
)

// stdinFile is what stands for standard input where a file's name is wanted.
const stdinFile = "-"

// maxPolicy bounds a policy file, so that one that never ends does end.
const maxPolicy = 64 << 20

// policyHint is the next step after an error in a file or of reading it.
func policyHint(err error) string {
	switch {
	case errors.As(err, new(policy.Errors)):
		return "tstun help policy has the form of the file"
	case errors.As(err, new(hostError)):
		return `--local wants a name or an address that the file calls "local", or the key of a node's filter`
	}
	return "want the name of a policy file, or - for standard input"
}

// fileName is what a file is called in what the tool says.
func fileName(file string) string {
	if file == stdinFile {
		return "stdin"
	}
	return file
}

// addLocalFlag adds the flag that says for which host a policy is read.
func addLocalFlag(cmd *cobra.Command, host *string) {
	cmd.Flags().StringVar(host, "local", "", "read policies of several hosts for this `host`, a name or an address")
}

// readPolicies reads all files, for a host if one is named, and reports the
// errors of all.
func readPolicies(env ui.Environment, files []string, host string) ([]*policy.Policy, error) {
	policies := make([]*policy.Policy, len(files))
	var errs []error
	fromStdin := false
	for i, file := range files {
		if file == stdinFile && fromStdin {
			return nil, ui.BadInput("write it to a file first", errors.New("- stands there twice: standard input can be read once"))
		}
		fromStdin = fromStdin || file == stdinFile
		data, err := readFile(env, file)
		switch {
		case err != nil:
		case host != "":
			policies[i], err = parseFor(fileName(file), data, host)
		default:
			policies[i], err = policy.Parse(fileName(file), data)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		err := errors.Join(errs...)
		return nil, ui.BadInput(policyHint(err), err)
	}
	return policies, nil
}

// parseFor is policy.ParseFor. Its errors of the host are hostErrors.
func parseFor(name string, data []byte, host string) (*policy.Policy, error) {
	p, err := policy.ParseFor(name, data, host)
	if err != nil && !errors.As(err, new(policy.Errors)) {
		err = hostError{err}
	}
	return p, err
}

// hostError is an error of the host that a file is read for.
type hostError struct{ error }

func readFile(env ui.Environment, file string) ([]byte, error) {
	r := env.Stdin
	if file != stdinFile {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, maxPolicy+1))
	switch {
	case err != nil && file == stdinFile:
		return nil, fmt.Errorf("read stdin: %w", err)
	case err != nil:
		return nil, err
	case len(data) > maxPolicy:
		return nil, fmt.Errorf("%s: more than %v: want a policy file", fileName(file), ui.Size(maxPolicy))
	}
	return data, nil
}
