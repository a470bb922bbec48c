//! A scripted kernel, which splices between the scripted ends.

use std::io;
use std::rc::Rc;

use super::world::{World, stream};
use crate::engine::splice::Kernel;
use crate::io::splice_end::SpliceEnd;

/// The kernel that splices between the two.
#[derive(Debug)]
pub(super) struct ScriptedKernel(pub Rc<World>);

impl ScriptedKernel {
    /// What the sink says before it takes anything.
    fn room(&self) -> io::Result<()> {
        let world = &*self.0;
        if world.is_gone() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if world.full.get() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    }
}

impl Kernel for ScriptedKernel {
    type Pipe = ();

    fn pipe(&mut self) -> Option<()> {
        (!self.0.chance(20)).then_some(())
    }

    fn put_back(&mut self, (): ()) {
        assert_eq!(self.0.in_pipe.get(), 0, "others would get what is in the pipe");
    }

    fn across(&mut self, _: &SpliceEnd<'_>, _: &SpliceEnd<'_>, most: usize) -> io::Result<usize> {
        let world = &*self.0;
        world.interruption()?;
        self.room()?;
        let count = world.until_break(world.spliceable(most)?);
        if count > 0 {
            world.give(count);
            world.took(count);
        }
        Ok(count)
    }

    fn fill_pipe(&mut self, _: &SpliceEnd<'_>, (): &(), most: usize) -> io::Result<usize> {
        let world = &*self.0;
        assert_eq!(world.in_pipe.get(), 0, "filled a pipe that is not empty");
        world.interruption()?;
        let count = world.spliceable(most)?;
        if count > 0 {
            world.give(count);
            world.in_pipe.set(count);
        }
        Ok(count)
    }

    fn drain_pipe(&mut self, (): &(), _: &SpliceEnd<'_>, most: usize) -> io::Result<usize> {
        let world = &*self.0;
        assert_eq!(world.in_pipe.get(), most, "what the pipe holds is not known");
        world.interruption()?;
        self.room()?;
        if world.chance(world.refuses) {
            return Ok(0);
        }
        let count = world.up_to(world.until_break(most));
        world.in_pipe.set(most - count);
        world.took(count);
        Ok(count)
    }

    fn take_back(&mut self, (): &(), bytes: usize) -> io::Result<Vec<u8>> {
        let world = &*self.0;
        assert_eq!(world.in_pipe.get(), bytes, "what the pipe holds is not known");
        if world.loses && bytes > 0 {
            world.lost.set(true);
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        world.in_pipe.set(0);
        Ok(stream(world.taken(), bytes).to_vec())
    }

    fn ready(&self, _: &SpliceEnd<'_>, _: &SpliceEnd<'_>) -> (bool, bool) {
        (!self.0.empty.get(), !self.0.full.get())
    }
}
