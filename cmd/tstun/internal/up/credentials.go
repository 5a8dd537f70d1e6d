package up

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"tstun/cmd/tstun/internal/proxy"
	"tstun/cmd/tstun/internal/ui"
)

// readCredentials reads a file of one line, NAME:PASSWORD. Without a file there
// are none. Other users may not reach it.
func readCredentials(file string) (c proxy.Credentials, err error) {
	if file == "" {
		return c, nil
	}
	data, err := readSmall(file)
	if err != nil {
		return c, ui.BadInput("", err)
	}
	const want = "write one line, NAME:PASSWORD"
	line, rest, _ := strings.Cut(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	name, password, ok := strings.Cut(line, ":")
	switch c = (proxy.Credentials{Username: name, Password: password}); {
	case othersReach(file):
		return c, ui.BadInput("chmod 600 "+file, fmt.Errorf("%s: other users can reach the password in it", file))
	case !ok || name == "" || rest != "":
		return c, ui.BadInput(want, fmt.Errorf("%s: not one line with a name, a colon and a password", file))
	}
	if err := c.Check(); err != nil {
		return c, ui.BadInput(want, fmt.Errorf("%s: %w", file, err))
	}
	return c, nil
}

// othersReach reports whether users other than the owner and its group may read
// or write the file.
func othersReach(file string) bool {
	const others = 0o006
	info, err := os.Stat(file)
	return err == nil && info.Mode().Perm()&others != 0 && runtime.GOOS != "windows" // where modes say nothing
}
