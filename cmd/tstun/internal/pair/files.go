package pair

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Write writes all files into dir, which it makes if it is not there, each for
// the owner alone. It writes all or none: after an error, what was there before
// is there again. A file that is there is an error, of fs.ErrExist, unless
// overwrite is set.
func (p *Pair) Write(dir string, overwrite bool) (err error) {
	err = os.Mkdir(dir, 0o700)
	made := err == nil
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	w := writing{dir: dir}
	if err = w.write(p.files(), overwrite); err != nil {
		err = errors.Join(err, w.undo())
		if made {
			err = errors.Join(err, os.Remove(dir))
		}
		return err
	}
	return w.forgetOld()
}

// file is a file that is to be written.
type file struct {
	name string
	text []byte
}

func (p *Pair) files() []file {
	return []file{{p.Ends[0].File(), p.Ends[0].Text}, {p.Ends[1].File(), p.Ends[1].Text}, {PolicyFile, p.Policy}}
}

// writing is what was done so far to write files.
type writing struct {
	dir     string
	old     string   // a directory in dir for what was in the way, or empty
	moved   []string // what is in old
	written []string
}

func (w *writing) at(name string) string { return filepath.Join(w.dir, name) }

func (w *writing) write(files []file, overwrite bool) error {
	inTheWay, err := w.inTheWay(files, overwrite)
	if err != nil {
		return err
	}
	if err := w.moveAway(inTheWay); err != nil {
		return err
	}
	for _, f := range files {
		if err := w.create(f); err != nil {
			return err
		}
	}
	return nil
}

// inTheWay returns the names of the files that are there, or an error with each
// that must not be overwritten.
func (w *writing) inTheWay(files []file, overwrite bool) (names []string, err error) {
	var errs []error
	for _, f := range files {
		info, err := os.Lstat(w.at(f.name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			errs = append(errs, err)
		case overwrite && info.Mode().IsRegular():
			names = append(names, f.name)
		default:
			errs = append(errs, &fs.PathError{Op: "write", Path: w.at(f.name), Err: fs.ErrExist})
		}
	}
	return names, errors.Join(errs...)
}

// moveAway moves files into a directory beside them.
func (w *writing) moveAway(names []string) (err error) {
	if len(names) == 0 {
		return nil
	}
	if w.old, err = os.MkdirTemp(w.dir, ".old-"); err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Rename(w.at(name), filepath.Join(w.old, name)); err != nil {
			return err
		}
		w.moved = append(w.moved, name)
	}
	return nil
}

// create writes a file that is not there.
func (w *writing) create(f file) error {
	to, err := os.OpenFile(w.at(f.name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w.written = append(w.written, f.name)
	_, err = to.Write(f.text)
	return errors.Join(err, to.Close())
}

// undo removes what was written and moves back what was in the way.
func (w *writing) undo() error {
	var errs []error
	for _, name := range w.written {
		errs = append(errs, os.Remove(w.at(name)))
	}
	for _, name := range w.moved {
		errs = append(errs, os.Rename(filepath.Join(w.old, name), w.at(name)))
	}
	if w.old != "" {
		errs = append(errs, os.Remove(w.old))
	}
	return errors.Join(errs...)
}

// forgetOld removes what was in the way.
func (w *writing) forgetOld() error {
	if w.old == "" {
		return nil
	}
	return os.RemoveAll(w.old)
}
