package up

import (
	"tstun/cmd/tstun/internal/confine"
	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
	"tstun/tunnel"
)

// confine takes from the process what it does not need any more. It follows the
// last thing that is opened.
func (r *runner) confine(config tunnel.Config, t *tunnel.Tunnel, s *servers, c *control.Server) error {
	if config.StateDir == "" {
		config.StateDir = tunnel.DefaultStateDir
	}
	path, _ := configPath(r.options.File)
	want := confine.Config{Tunnel: &config, Mode: t.Status().Mode, File: path, Dials: len(s.opened) > len(r.options.Metrics)}
	if c != nil {
		want.Dials = want.Dials || want.Mode == tunnel.ModeKernel // tstun connect, by the host's routes
		want.Sockets = append(want.Sockets, c.Path())
	}
	done, err := confine.Apply(want)
	if err != nil {
		return ui.Failf("", "confine the process: %w", err)
	}
	r.log.Info(done.String())
	return nil
}
