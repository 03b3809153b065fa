// Package fake is a camera, a microphone and a speaker for machines without them:
// a picture with a time code that people and programs can read, a tone, and a
// speaker that listens. Tests measure with them; --fake-media and make run show them.
package fake
