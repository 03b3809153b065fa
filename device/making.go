package device

import (
	"context"

	"github.com/herald-im/herald/device/pictures"
	"github.com/herald-im/herald/protocol"
)

// making is a message with files that is being made: what is taken for it is kept
// under its name.
type making struct {
	ctx  context.Context
	f    *filing
	elem protocol.Elem
	name string
}

// take copies a program's file.
func (m *making) take(path string, role protocol.FileRole) (protocol.File, error) {
	f, err := m.f.store.Take(m.ctx, path, m.name, m.elem.MaxBytes(role))
	return protocol.File{Hash: f.Hash, Size: f.Size, Role: role}, err
}

// makeWith makes a message of files. What was taken is let go of if it cannot be made.
func (d *Device) makeWith(ctx context.Context, elem protocol.Elem, build func(m *making) (protocol.Message, error)) (res protocol.MessageKeyResponse, err error) {
	s, err := d.current()
	if err != nil {
		return res, err
	}
	key := newKey()
	m := &making{ctx, &d.files, elem, owner(key)}
	message, err := build(m)
	if err == nil {
		message.Elem = elem
		res, err = s.makeMessage(key, message)
	}
	if err != nil {
		d.files.store.Unpin(m.name)
	}
	return res, err
}

func (d *Device) createImage(ctx context.Context, _ protocol.Caller, r protocol.CreateImageRequest) (protocol.MessageKeyResponse, error) {
	return d.makeWith(ctx, protocol.ElemImage, func(m *making) (protocol.Message, error) {
		original, err := m.take(r.Img, protocol.RoleOriginal)
		if err != nil {
			return protocol.Message{}, err
		}
		list, err := m.sizes(original)
		return protocol.Message{Files: list}, err
	})
}

// sizes makes the three sizes of a picture.
func (m *making) sizes(original protocol.File) ([]protocol.File, error) {
	path, here := m.f.store.Path(original.Hash)
	if !here {
		return nil, protocol.Errorf(protocol.CodeFileNotFound, "the picture is not on this board any more")
	}
	set, err := m.f.pictures.Sizes(m.ctx, path)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeIOOperationFailed, "%v", err)
	}
	list := make([]protocol.File, len(set))
	for i, p := range set {
		list[i] = original
		if p.Bytes != nil {
			small, err := m.f.store.Put(m.ctx, p.Bytes, m.name)
			if err != nil {
				return nil, err
			}
			list[i] = protocol.File{Hash: small.Hash, Size: small.Size}
		}
		list[i].Role, list[i].Width, list[i].Height = protocol.FileRole(i), p.Width, p.Height
	}
	return list, nil
}

func (d *Device) createSound(ctx context.Context, _ protocol.Caller, r protocol.CreateSoundRequest) (protocol.MessageKeyResponse, error) {
	return d.makeWith(ctx, protocol.ElemSound, func(m *making) (protocol.Message, error) {
		sound, err := m.take(r.SoundPath, protocol.RoleOriginal)
		return protocol.Message{Files: []protocol.File{sound}, Duration: uint32(r.SoundDuration)}, err
	})
}

func (d *Device) createVideo(ctx context.Context, _ protocol.Caller, r protocol.CreateVideoRequest) (protocol.MessageKeyResponse, error) {
	return d.makeWith(ctx, protocol.ElemVideo, func(m *making) (protocol.Message, error) {
		video, err := m.take(r.VideoFilePath, protocol.RoleOriginal)
		if err != nil {
			return protocol.Message{}, err
		}
		shot, err := m.take(r.SnapshotPath, protocol.RoleSnapshot)
		if err != nil {
			return protocol.Message{}, err
		}
		if path, here := m.f.store.Path(shot.Hash); here {
			shot.Width, shot.Height = pictures.Dimensions(path)
		}
		return protocol.Message{Files: []protocol.File{video, shot}, Duration: uint32(r.Duration), Type: r.Type}, nil
	})
}

func (d *Device) createFile(ctx context.Context, _ protocol.Caller, r protocol.CreateFileRequest) (protocol.MessageKeyResponse, error) {
	return d.makeWith(ctx, protocol.ElemFile, func(m *making) (protocol.Message, error) {
		file, err := m.take(r.FilePath, protocol.RoleOriginal)
		file.Name = r.FileName
		return protocol.Message{Files: []protocol.File{file}}, err
	})
}
