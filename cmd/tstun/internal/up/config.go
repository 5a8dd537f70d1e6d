package up

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tstun/cmd/tstun/internal/ui"
	"tstun/policy"
	"tstun/tunnel"
	"tstun/tunnel/wgquick"
)

// configDir is where wg-quick looks for the file of a NAME: wg-quick(8).
const configDir = "/etc/wireguard"

const configSuffix = ".conf"

// configPath returns the file that arg stands for. What has no slash and does
// not end in .conf is the NAME of /etc/wireguard/NAME.conf.
func configPath(arg string) (path string, isName bool) {
	if filepath.Base(arg) != arg || strings.HasSuffix(arg, configSuffix) {
		return arg, false
	}
	return filepath.Join(configDir, arg+configSuffix), true
}

// read reads the files and adds what the command line says. It logs their
// warnings. All that is wrong with them is in the error.
func (r *runner) read() (*tunnel.Config, error) {
	config, err := r.readConfig()
	for _, file := range []string{r.options.Policy, r.options.Audit} {
		if policyErr := checkPolicy(file, r.options.PolicyHost); policyErr != nil {
			err = joinBadInput(err, policyErr)
		}
	}
	if err != nil {
		return nil, err
	}
	o := &r.options
	config.Mode, config.Policy, config.PolicyHost, config.StateDir, config.Logf = o.Mode, o.Policy, o.PolicyHost, o.StateDir, r.log.Logf
	config.MSSClamp, config.Audit, config.Reject, config.RecordMemory = o.MSSClamp, o.Audit, o.Reject, o.RecordMemory
	config.NoWait = true // or a peer that is away would keep the proxies from listening
	return config, requirePeers(config.Peers, o.Require)
}

func (r *runner) readConfig() (*tunnel.Config, error) {
	path, isName := configPath(r.options.File)
	config, warnings, err := wgquick.ParseFile(path, wgquick.Options{Name: r.options.Name, Hooks: r.options.Hooks})
	for _, w := range warnings {
		if err != nil || !config.PrivateKey.IsZero() || w.Line > 0 { // the error below says the same
			r.log.warn(w.String())
		}
	}
	switch {
	case err != nil:
		return nil, ui.BadInput(configHint(err, r.options.File, isName), clean(err))
	case config.PrivateKey.IsZero():
		return nil, ui.BadInput("tstun keygen makes one", fmt.Errorf("%s: no PrivateKey in [Interface]: without one there is no handshake", path))
	}
	return config, nil
}

// configHint returns the next steps after an error of wgquick's.
func configHint(err error, arg string, isName bool) string {
	var wrong wgquick.Errors
	switch {
	case errors.As(err, &wrong):
		return hintsOf(wrong)
	case errors.Is(err, fs.ErrNotExist) && isName:
		return fmt.Sprintf("a NAME stands for %s; write ./%s for a file of this directory", filepath.Join(configDir, "NAME"+configSuffix), arg)
	case errors.Is(err, fs.ErrPermission):
		return "run it as who may read the file, such as root"
	}
	return "want the path of a wg-quick file, or the NAME of " + filepath.Join(configDir, "NAME"+configSuffix)
}

// hintsOf returns the hint of all errors, or one of each, a line each, with the
// place of the first error that has it.
func hintsOf(errs wgquick.Errors) string {
	var lines, hints []string
	seen := make(map[string]bool)
	for _, e := range errs {
		if e.Hint != "" && !seen[e.Hint] {
			seen[e.Hint] = true
			hints, lines = append(hints, e.Hint), append(lines, e.Position.String()+": "+e.Hint)
		}
	}
	if len(hints) == 1 {
		return hints[0]
	}
	return strings.Join(lines, "\n")
}

// joinBadInput joins two errors, of which the first may be nil, with the hints
// of both.
func joinBadInput(a, b error) error {
	if a == nil {
		return b
	}
	hints := strings.Trim(ui.Hint(a)+"\n"+ui.Hint(b), "\n")
	return ui.BadInput(hints, errors.Join(a, b))
}

// checkPolicy reads a policy file and runs its tests. The tunnel does the same,
// but would be half up by then.
func checkPolicy(file, host string) error {
	if file == "" {
		return nil
	}
	data, err := readSmall(file)
	if err != nil {
		return ui.BadInput("want the name of a policy file; tstun help policy has its form", err)
	}
	p, err := parsePolicy(file, data, host)
	if err != nil {
		return ui.BadInput("tstun help policy has the form of the file", err)
	}
	failures, err := p.Test()
	if err != nil {
		return ui.BadInput("", err)
	}
	var errs []error
	for _, f := range failures {
		errs = append(errs, errors.New(f.String()))
	}
	if len(errs) > 0 {
		return ui.BadInput("tstun check "+file+" says why", errors.Join(errs...))
	}
	return nil
}

func parsePolicy(file string, data []byte, host string) (*policy.Policy, error) {
	if host == "" {
		return policy.Parse(file, data)
	}
	return policy.ParseFor(file, data, host)
}

// maxFile bounds a file. A device or pipe may never end.
const maxFile = 64 << 20

// readSmall reads a whole file.
func readSmall(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s: longer than %v", file, ui.Size(maxFile))
	}
	return data, err
}
