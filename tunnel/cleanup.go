package tunnel

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"tstun/logger"
	"tstun/tunnel/internal/hostnet"
)

// CleanUp removes what a killed run of a tunnel in ModeKernel left on the host,
// and reports whether there was anything. name and stateDir are those of its
// Config; logf hears of each change. It fails, and changes nothing, while the
// tunnel runs. Start does the same for its own name. The calling thread must be
// in the network namespace of the tunnel.
func CleanUp(name, stateDir string, logf logger.Logf) (found bool, err error) {
	if stateDir == "" {
		stateDir = DefaultStateDir
	}
	if found, err = hostnet.HasJournal(name, stateDir); err != nil {
		return false, fmt.Errorf("tunnel: clean up: %w", err)
	}
	if found {
		host, err := hostnet.New(name, stateDir, logf)
		if err == nil {
			err = host.Close()
		}
		if err != nil {
			return true, fmt.Errorf("tunnel: clean up: %w", err)
		}
	}
	stale, err := removeStale(filepath.Join(controlDir, name+".sock"))
	if err != nil {
		return found, fmt.Errorf("tunnel: clean up: %w", err)
	}
	return found || stale, nil
}

// removeStale removes a socket that nobody listens on, and reports whether it
// was there.
func removeStale(path string) (bool, error) {
	c, err := net.Dial("unix", path)
	if err == nil {
		return false, c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return false, nil
	}
	return true, os.Remove(path)
}
