//! The first of several devices that opens: drivers list adapters that cannot be opened, or that are lost at
//! once.

use super::faults::DeviceError;

/// A device that was tried and not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its name.
    pub device: String,
    /// Why not.
    pub reason: String,
}

/// Opens the candidates in their order until one opens. With those before it, and why they did not; none is
/// open if all failed.
pub async fn first_that_opens<C, T>(
    candidates: impl IntoIterator<Item = C>, name: impl Fn(&C) -> String, open: impl AsyncFn(&C) -> Result<T, DeviceError>,
) -> (Option<T>, Vec<Skipped>) {
    let mut skipped = Vec::new();
    for candidate in candidates {
        match open(&candidate).await {
            Ok(opened) => return (Some(opened), skipped),
            Err(error) => skipped.push(Skipped { device: name(&candidate), reason: reason(error) }),
        }
    }
    (None, skipped)
}

/// Why a device was not taken, without its name and without advice.
fn reason(error: DeviceError) -> String {
    match error {
        DeviceError::Unopened { reason, .. } => reason,
        DeviceError::Lost(reason) => format!("it was lost at once: {reason}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::wait;
    use std::cell::RefCell;

    #[test]
    fn candidates_are_tried_in_their_order_until_one_opens() {
        let tried = RefCell::new(Vec::new());
        let open = async |candidate: &&str| {
            tried.borrow_mut().push(candidate.to_string());
            if candidate.starts_with("bad") {
                Err(DeviceError::Unopened { device: candidate.to_string(), reason: format!("{candidate} is broken") })
            } else {
                Ok(candidate.len())
            }
        };
        let (opened, skipped) = wait(first_that_opens(["bad one", "bad two", "good", "better"], |name| name.to_string(), open));
        let skip = |device: &str| Skipped { device: device.into(), reason: format!("{device} is broken") };
        assert_eq!((opened, skipped), (Some(4), vec![skip("bad one"), skip("bad two")]));
        assert_eq!(*tried.borrow(), ["bad one", "bad two", "good"]);
        let (opened, skipped) = wait(first_that_opens(["bad"], |name| name.to_string(), async |_| Err::<(), _>(DeviceError::Lost("gone".into()))));
        assert_eq!((opened, &*skipped[0].reason), (None, "it was lost at once: gone"));
    }
}
