//! What is left to be sent of a request that will not be sent again. Whoever makes a `Rest` gives up the possibility of
//! trying another key.

use crate::base::buffer::Buffer;
use crate::http::body::Decoder;

use super::Cx;
use super::core::Core;
use super::reason::Reason;
use super::request::Request;
use super::transfer::Stopped;
use super::upload::Upload;

/// None once the whole request has been handed on, as it has been before most answers.
pub struct Rest(Option<Box<Upload>>);

impl Rest {
    pub fn of(mut upload: Box<Upload>) -> Rest {
        upload.stop_keeping();
        Rest(Some(upload))
    }

    /// Passes on what the client still sends, and keeps nothing of it.
    pub fn send_on(
        &mut self,
        output: &mut Buffer,
        request: &mut Request,
        cx: &mut Cx<'_>,
    ) -> Result<Stopped, Reason> {
        let Some(upload) = &mut self.0 else {
            return Ok(Stopped::Done);
        };
        let core = &mut *cx.core;
        let (blocks, memory) = (&mut core.blocks, &core.retry_memory);
        let stopped = upload.pump(cx.client.input, Some(output), request, blocks, memory)?;
        match upload.is_done() {
            true => drop(Rest(self.0.take()).discard(core)),
            false => upload.forget_sent(blocks),
        }
        Ok(stopped)
    }

    pub fn is_sent(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the next byte is the client's to send.
    pub fn is_starved(&self) -> bool {
        self.0.as_ref().is_some_and(|upload| upload.is_starved())
    }

    /// Whether the client has more of it to send.
    pub fn wants_client(&self) -> bool {
        self.0.as_ref().is_some_and(|upload| !upload.is_received())
    }

    /// How far the client's body has been read.
    pub fn decoder(&self) -> &Decoder {
        self.0
            .as_ref()
            .map_or(&Decoder::Done, |upload| upload.decoder())
    }

    /// Gives its memory back. Returns how far the client's body has been read.
    pub fn discard(self, core: &mut Core) -> Decoder {
        self.0.map_or(Decoder::Done, |upload| core.discard(upload))
    }
}
