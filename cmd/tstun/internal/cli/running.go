package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
	"tstun/tunnel"
	"tstun/tunnel/wgquick"
)

// askTimeout bounds how long a tunnel that runs may take to answer.
const askTimeout = 10 * time.Second

// addStateDirFlag adds the flag that says where up --state-dir is.
func addStateDirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "state-dir", "", "look for tunnels that up runs with --state-dir `DIR`")
}

// tunnelName returns the name of the tunnel of a NAME, or of a wg-quick file.
func tunnelName(arg string) (string, error) {
	if filepath.Base(arg) == arg && !strings.HasSuffix(arg, ".conf") {
		return arg, nil
	}
	name, err := wgquick.InterfaceName(arg)
	if err != nil {
		return "", ui.BadInput("want the NAME of a tunnel, or its wg-quick file", err)
	}
	return name, nil
}

// findTunnel returns who answers for a tunnel that runs.
func findTunnel(dirs []string, arg string) (*control.Client, error) {
	name, err := tunnelName(arg)
	if err != nil {
		return nil, err
	}
	c, err := control.Find(dirs, name)
	if err != nil {
		return nil, notFound(dirs, err)
	}
	return c, nil
}

// notFound returns the error of a tunnel that this user cannot ask, with the
// next step.
func notFound(dirs []string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return ui.Failf("run it with sudo", "%w", err)
	}
	return ui.Failf(whichRun(dirs), "%w", err)
}

// whichRun says which tunnels this user may ask.
func whichRun(dirs []string) string {
	clients, hidden := control.List(dirs)
	var names []string
	for _, c := range clients {
		names = append(names, c.Name)
	}
	text := "none runs; tstun up starts one"
	if len(names) > 0 {
		text = "these run: " + strings.Join(names, ", ")
	}
	if hidden {
		text += "; root's are seen with sudo"
	}
	return text
}

// onlyTunnel returns who answers for the one tunnel that runs.
func onlyTunnel(dirs []string) (*control.Client, error) {
	clients, _ := control.List(dirs)
	switch len(clients) {
	case 1:
		return clients[0], nil
	case 0:
		return nil, ui.Failf(whichRun(dirs), "no tunnel runs")
	}
	return nil, ui.BadInput(whichRun(dirs), fmt.Errorf("%d tunnels run: want the name of one", len(clients)))
}

// askFailure returns the error of a tunnel that was asked, with its hint. What the tunnel
// cannot read was wrong in the command line.
func askFailure(err error) error {
	var told *control.Error
	switch {
	case !errors.As(err, &told):
		return ui.Failf("", "%w", err)
	case told.Code == http.StatusBadRequest:
		return ui.BadInput(told.Hint, err)
	}
	return ui.Failf(told.Hint, "%w", err)
}

// statuses asks all clients.
func statuses(ctx context.Context, clients []*control.Client) (all []control.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var errs []error
	for _, c := range clients {
		s, err := c.Status(ctx)
		if err != nil {
			errs = append(errs, askFailure(err))
			continue
		}
		all = append(all, s)
	}
	if len(errs) == 1 {
		return all, errs[0]
	}
	return all, errors.Join(errs...)
}

// stateDirOr returns the directory of the journals.
func stateDirOr(dir string) string {
	if dir == "" {
		return tunnel.DefaultStateDir
	}
	return dir
}
