package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/ui"
	"tstun/policy"
)

// stdinFile is the file name that means standard input.
const stdinFile = "-"

// maxPolicy bounds the bytes of a policy file. A device or pipe may never end.
const maxPolicy = 64 << 20

// policyHint returns the next step after an error of readPolicies.
func policyHint(err error) string {
	switch {
	case errors.As(err, new(policy.Errors)):
		return "tstun help policy has the form of the file"
	case errors.As(err, new(hostError)):
		return `--local wants a name or an address that the file calls "local", or the key of a node's filter`
	}
	return "want the name of a policy file, or - for standard input"
}

// fileName returns the name of a file in text and errors.
func fileName(file string) string {
	if file == stdinFile {
		return "stdin"
	}
	return file
}

// addLocalFlag adds the flag that chooses the host for which a policy is read.
func addLocalFlag(cmd *cobra.Command, host *string) {
	cmd.Flags().StringVar(host, "local", "", "read policies of several hosts for this `host`, a name or an address")
}

// readPolicies reads all files and returns the errors of all. With a host, it
// reads each policy for that host alone.
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
		if err == nil {
			policies[i], err = parseFile(fileName(file), data, host)
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

// parseFile parses a policy, for a host if that is not empty. An error that is of the
// host, not of the file, is a hostError.
func parseFile(name string, data []byte, host string) (*policy.Policy, error) {
	if host == "" {
		return policy.Parse(name, data)
	}
	p, err := policy.ParseFor(name, data, host)
	if err != nil && !errors.As(err, new(policy.Errors)) {
		err = hostError{err}
	}
	return p, err
}

// hostError is the error of a host for which the policy cannot be read.
type hostError struct{ error }

// readFile reads a whole file, or standard input. A file of more than maxPolicy
// bytes is an error.
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
