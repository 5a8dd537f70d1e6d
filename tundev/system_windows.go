package tundev

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// thisSystem knows the two directories from which Wintun is loaded
// (LOAD_LIBRARY_SEARCH_APPLICATION_DIR and LOAD_LIBRARY_SEARCH_SYSTEM32).
func thisSystem() system {
	s := system{goos: "windows"}
	if program, err := os.Executable(); err == nil {
		s.addDLLDir(filepath.Dir(program))
	}
	if dir, err := windows.GetSystemDirectory(); err == nil {
		s.addDLLDir(dir)
	}
	return s
}

func (s *system) addDLLDir(path string) {
	s.dllDirs = append(s.dllDirs, dllDir{path: path, tree: os.DirFS(path)})
}
