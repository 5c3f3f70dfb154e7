//! Being told to stop: everything that waits listens, and nothing that changes something is cut off half-way.

use tokio::sync::watch;

/// Hears of it.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

/// Tells it.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Stop {
    /// Somebody to tell, and something that hears.
    #[must_use]
    pub fn new() -> (Stopper, Self) {
        let (sender, receiver) = watch::channel(false);
        (Stopper(sender), Self(receiver))
    }

    /// For what nobody will ever stop.
    #[must_use]
    pub fn never() -> Self {
        Self::new().1
    }

    /// Whether it was told.
    #[must_use]
    pub fn is_told(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is told, for ever if nobody is left to tell it.
    pub async fn told(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|told| *told).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Stopper {
    /// Tells everybody who listens.
    pub fn tell(&self) {
        self.0.send_replace(true);
    }
}
