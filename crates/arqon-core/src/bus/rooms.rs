//! All rooms of this node, made on use; and the subscriptions whose patterns may match rooms yet to be made.

use super::room::Room;
use super::subscription::Subscription;
use super::{Shared, lock};
use crate::hash::Map;
use crate::{RoomKey, RoomName, Tenant};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

#[derive(Default)]
pub(super) struct Rooms {
    known: RwLock<Map<Arc<RoomKey>, Arc<Room>>>,
    /// Subscriptions with a wildcard in the place of the room.
    roaming: Mutex<Vec<Arc<Subscription>>>,
}

impl Rooms {
    pub(super) fn find(&self, key: &RoomKey) -> Option<Arc<Room>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// The rooms of a tenant that are in use on this node.
    pub(super) fn of_tenant(&self, tenant: &Tenant) -> Vec<Arc<Room>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.values().filter(|room| room.key.tenant() == tenant).cloned().collect()
    }

    pub(super) fn add_roaming(&self, subscription: &Arc<Subscription>) {
        lock(&self.roaming).push(subscription.clone());
    }

    /// Detaches a subscription from every room.
    pub(super) fn forget(&self, subscription: &Arc<Subscription>) {
        lock(&self.roaming).retain(|s| !Arc::ptr_eq(s, subscription));
        for room in subscription.rooms() {
            room.detach(subscription);
        }
    }

    /// Rooms that nobody uses any more go: those that are held by nothing but this table, so that nobody is just about to
    /// join one. What a room's log holds is in the log, and the next user finds it there as after a restart; a room
    /// that ever had a memory lane stays, since its numbers are nowhere else. Of private reply rooms nothing is missed.
    pub(super) fn sweep(&self) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|key, room| Arc::strong_count(room) > 1 || !room.is_idle(key.room().is_volatile()));
        let many = known.len();
        if known.capacity() > 4 * many.max(1024) {
            known.shrink_to(2 * many);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.known.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Shared {
    /// The room, made if it is not in use yet. A new room is joined by every roaming subscription that matches it
    /// before anyone can publish to it.
    pub(super) fn room(&self, tenant: &Tenant, name: &RoomName) -> Arc<Room> {
        let key = RoomKey::new(tenant.clone(), name.clone());
        if let Some(room) = self.rooms.find(&key) {
            return room;
        }
        let mut known = self.rooms.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = known.get(&key) {
            return room.clone();
        }
        let room = Arc::new(Room::new(Arc::new(key)));
        let mut joined = Vec::new();
        for subscription in lock(&self.rooms.roaming).iter().filter(|s| s.wants_room(&room.key)) {
            subscription.attach(&room);
            joined.push(subscription.clone());
        }
        known.insert(room.key.clone(), room.clone());
        drop(known);
        joined.iter().for_each(|subscription| subscription.announce());
        room
    }
}
